"""Who needs somebody is said alike by `orch ls`, `why` and `inspect`, and by HTTP."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from orchestrator.errors import LeaseLost
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.messages import SPAWN_QUEUE
from orchestrator.models import Phase, Status
from orchestrator.stages.spawn.monitors.disk import has_space
from orchestrator.store import agents, keys, workers
from orchestrator.store.operations import command, nothing
from tests.attention_cases import AGENT, CASES, NOW
from tests.integration.api.conftest import serving, spawn
from tests.integration.cli.conftest import Orch, run_to

CASES_BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def system(valkey_server, tmp_path_factory):
    """The API and the CLI of one Valkey; each case empties it first."""
    with serving(valkey_server) as (client, _):
        yield client, Orch(valkey_server, tmp_path_factory.mktemp("cli"))


def empty(store):
    store.run(command("FLUSHALL", decode=nothing))


def test_the_cli_and_http_say_the_same_of_each_case(system, store):
    client, _ = system
    for case in CASES:
        empty(store)
        case.put(store)
        rank, code, words, shown = case.expected
        answered = client.get(f"/agents/{AGENT}/why").json()
        assert (answered.get("rank"), answered["code"]) == (rank, code), case.name
        assert words in answered["why"], case.name
        assert answered["command"] == shown.replace("ID", AGENT), case.name
        (row,) = client.get("/fleet", params={"agents": AGENT}).json()["agents"]
        listed = client.get("/agents", params={"attention": "true"}).json()
        assert "attention" not in client.get("/agents").json()
        if rank is None:
            assert "attention" not in row, case.name
            assert listed["attention"] == {}, case.name
            continue
        assert row["attention"].items() <= answered.items(), case.name
        assert listed["attention"] == {AGENT: row["attention"]}, case.name


@pytest.mark.parametrize(
    "name",
    [
        "push failed", "disk full", "95 % of its tokens", "lost three times", "conflicts",
        "superseded", "halted", "its queue is paused",
    ],
)  # fmt: skip
def test_the_cli_says_what_http_says(system, store, name):
    client, orch = system
    case = CASES_BY_NAME[name]
    empty(store)
    case.put(store)
    answered = client.get(f"/agents/{AGENT}/why").json()
    listed = client.get("/agents", params={"attention": "true"}).json()["attention"]
    assert orch.json("why", AGENT) == answered
    assert orch.json("ls")["attention"] == listed
    urgent = orch.json("ls", "--attention")
    assert [agent["agentId"] for agent in urgent["agents"]] == list(listed)
    assert urgent["attention"] == listed
    lines = orch.run("why", AGENT).stdout.splitlines()
    assert lines == [answered["why"], answered["command"]]


def test_why_counts_those_before_it_in_the_queue(system, store):
    client, _ = system
    empty(store)
    ids = [spawn(client, taskId=f"t{at}", priority=at) for at in (5, 9, 5)]
    store.run(workers.announce(f"{SPAWN_QUEUE}@alpha", now=datetime.now(UTC)))
    found = [client.get(f"/agents/{agent_id}/why").json() for agent_id in ids]
    assert [one["placeInLine"] for one in found] == [2, 1, 3]
    assert {one["waitingFor"] for one in found} == {"worker"}
    assert "rank" not in found[0]


def test_why_counts_those_before_it_for_a_slot_and_names_the_instant_of_a_retry(system, store):
    client, _ = system
    empty(store)
    ids = [spawn(client, taskId=f"t{at}") for at in range(3)]
    for number, agent_id in enumerate(ids[:2]):
        store.run(command("ZADD", keys.WAITING, 10 - number, agent_id, decode=nothing))
    far = (NOW.timestamp() + 3600) * 1000
    store.run(command("ZADD", keys.DELAYED, far, ids[2], decode=nothing))
    first, second, third = (client.get(f"/agents/{agent_id}/why").json() for agent_id in ids)
    assert (first["waitingFor"], first["placeInLine"]) == ("slot", 2)
    assert (second["waitingFor"], second["placeInLine"]) == ("slot", 1)
    assert third["waitingFor"] == "retry"
    assert client.get("/agents/nobody/why").status_code == 404


def test_one_that_completed_long_ago_with_conflicts_is_among_those_that_need_somebody(
    system, store
):
    """However many newer agents there are: the list of the urgent is not the newest page."""
    client, orch = system
    empty(store)
    CASES_BY_NAME["conflicts"].put(store)
    for at in range(3):
        spawn(client, taskId=f"t{at}")
    assert orch.run("ls", "--limit", "1").stdout.count(AGENT) == 2
    assert CASES_BY_NAME["conflicts"].agent.status is Status.COMPLETED
    assert CASES_BY_NAME["conflicts"].agent.phase is Phase.ENDED


@pytest.fixture
def holder(store):
    now, new_id = lambda: datetime.now(UTC), lambda: str(uuid.uuid4())
    return AgentLeases(store, now, new_id, "spawn@alpha", 30.0, "1:1")


def test_an_agent_that_no_disk_has_room_for_names_the_host(system, store, holder):
    client, _ = system
    empty(store)
    agent_id = spawn(client)
    full = SimpleNamespace(lacks_space=lambda: "disk: 5 bytes free under /w, low-water mark 9")
    assert not has_space(full, holder, agent_id)
    said = client.get(f"/agents/{agent_id}/why").json()
    assert (said["waitingFor"], said["code"], said["rank"]) == ("disk", "disk_low", 5)
    assert said["why"] == "disk: 5 bytes free under /w, low-water mark 9 (alpha)"


@pytest.mark.parametrize("leaves", ["lost", "done"])
def test_an_agent_that_leaves_its_worker_is_stalled_no_more(system, store, holder, leaves):
    client, _ = system
    empty(store)
    agent = run_to(holder, spawn(client))
    holder.report_stall(agent, for_s=600)
    assert client.get(f"/agents/{agent.agent_id}/why").json()["code"] == "stalled"
    if leaves == "lost":
        holder.recover(agent, LeaseLost("Gone."))
    else:
        holder.enqueue_for_gates(agent, {}, b"change")
    assert store.run(agents.read(agent.agent_id)).stalled_since is None
