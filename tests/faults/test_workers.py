"""Whatever befalls workers and Valkey: their agents die, and who can still see it says so."""

from __future__ import annotations

import json
import signal
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import (
    DEADLINE_S,
    HANGS,
    OPEN,
    Document,
    Fleet,
    all_killed,
    send,
    worker_name,
)
from tests.faults.test_kill import COUNTS, HOSTILE
from tests.integration.conftest import running
from tests.processes import Observer, eventually

AGENTS = 3
#: Says something all the time, so that its worker wants to write while Valkey is away.
TALKS = ": >$D/$$; while :; do echo something; sleep 0.1; done"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A system whose parts are stopped and killed."""
    with running(
        tmp_path_factory.mktemp("fragile"),
        ORCHESTRATOR_AGENT="scripted",
        **OPEN,
        ORCHESTRATOR_SUPERVISOR_DEADLINE=f"{DEADLINE_S}s",
        MAX_CONCURRENT_AGENTS="6",
    ) as started:
        yield Fleet(started)


@pytest.fixture
def fleet(system: Fleet) -> Iterator[Fleet]:
    """It, when all of it is up again, and in the end without agents."""
    eventually(lambda: is_ready(system))
    yield system
    eventually(lambda: is_ready(system))
    system.kill_all()


def is_ready(system: Fleet) -> bool:
    try:
        return system.call("GET", "/health/ready")[0] == 200
    except OSError:
        return False


@pytest.fixture
def agents(fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path) -> list[str]:
    """Agents that run, and are observed."""
    ids = [fleet.spawn_that(remote, tmp_path / str(number), HANGS) for number in range(AGENTS)]
    for number, agent_id in enumerate(ids):
        observer.note_agent(agent_id, tmp_path / str(number))
    return ids


def killed_by(fleet: Fleet, agents: list[str]) -> set[str]:
    """Return who confirmed these kills, of which nothing is left."""
    receipts = [fleet.receipt(agent_id) for agent_id in agents]
    assert all(receipt["confirmed"] and not receipt["survivors"] for receipt in receipts)
    return {receipt["confirmedBy"] for receipt in receipts}


def test_a_killed_worker_takes_its_agents_along_and_the_janitor_confirms_their_kill(
    fleet: Fleet, remote: Path, observer: Observer, agents: list[str], tmp_path: Path
):
    hostile = {kind: fleet.spawn_that(remote, tmp_path / kind, HOSTILE[kind]) for kind in COUNTS}
    for kind, agent_id in hostile.items():
        observer.note_agent(agent_id, tmp_path / kind, at_least=COUNTS[kind])
    worker = fleet.worker_pid(agents[0])
    send(worker, signal.SIGKILL)
    eventually(lambda: not observer.alive())
    ids = [*agents, *hostile.values()]
    assert fleet.kill(ids[0])[0] == 200
    assert fleet.kill_all() == all_killed(len(ids) - 1)
    assert killed_by(fleet, ids) == {"host_cleaner"}
    assert {fleet.receipt(agent_id)["worker"] for agent_id in ids} == {worker_name("spawn")}


def test_a_worker_in_warm_shutdown_still_hears_kills(
    fleet: Fleet, observer: Observer, agents: list[str]
):
    worker = psutil.Process(fleet.worker_pid(agents[0]))
    worker.terminate()
    log = fleet.system.home / "log" / "spawn.log"
    eventually(lambda: "Warm shutdown" in log.read_text())
    assert fleet.kill_all() == all_killed(AGENTS)
    assert observer.alive() == set()
    assert killed_by(fleet, agents) == {"worker"}
    eventually(lambda: not worker.is_running())


def test_a_stopped_worker_is_named_its_agents_die_and_it_confirms_when_it_goes_on(
    fleet: Fleet, observer: Observer, agents: list[str]
):
    worker = fleet.worker_pid(agents[0])
    send(worker, signal.SIGSTOP)
    try:
        ran = fleet.system.orch("kill-all", "--timeout=0.5", "--json", check=False)
        eventually(lambda: not observer.alive())
        assert not any(fleet.receipt(agent_id)["confirmed"] for agent_id in agents)
    finally:
        send(worker, signal.SIGCONT)
    assert ran.returncode == 1
    report = json.loads(ran.stdout)
    assert (report["total"], report["killed"], report["failed"]) == (AGENTS, 0, AGENTS)
    for agent_id in agents:
        assert any(agent_id in line and worker_name("spawn") in line for line in report["errors"])
        assert fleet.state(agent_id)["status"] == "killed"
        assert fleet.kill(agent_id)[0] == 200
    assert killed_by(fleet, agents) == {"worker"}


def test_a_kill_needs_no_broadcast_and_no_connection_that_was(
    fleet: Fleet, observer: Observer, agents: list[str]
):
    """Celery's remote control speaks over pub/sub: every listener is cut, and nothing is said."""
    with fleet.valkey() as client, client.pubsub() as heard:
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)
        heard.psubscribe("*")
        heard.get_message(timeout=60)
        assert fleet.kill_all() == all_killed(AGENTS)
        assert observer.alive() == set()
        channels, orders = set(), set()
        while message := heard.get_message(ignore_subscribe_messages=True, timeout=0.2):
            channel = message["channel"].decode()
            channels.add(channel)
            if "pidbox" in channel:
                body = b64decode(json.loads(message["data"])["body"])
                orders.add(json.loads(body)["method"])
    assert "orchestrator:events" in channels
    assert orders == set()
    assert killed_by(fleet, agents) == {"worker"}


def test_kill_all_right_after_a_restart_of_valkey(
    fleet: Fleet, remote: Path, observer: Observer, agents: list[str], tmp_path: Path
):
    talker = fleet.spawn_that(remote, tmp_path / "talker", TALKS)
    observer.note_agent(talker, tmp_path / "talker")
    with fleet.valkey() as client:
        pid = client.info("server")["process_id"]
    valkey = psutil.Process(pid)
    valkey.kill()
    eventually(lambda: not valkey.is_running())
    report: list[Document] = []

    def kill_all() -> bool:
        status, answer = fleet.call("POST", "/agents/kill-all")
        report.append(answer)
        return status == 200

    eventually(kill_all)
    assert report[-1] == all_killed(AGENTS + 1)
    assert observer.alive() == set()
    assert killed_by(fleet, [*agents, talker]) == {"worker"}
