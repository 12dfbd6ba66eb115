"""A request that came by Celery alone is not lost with the worker that took it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import Celery

from orchestrator.messages import SPAWN_TASK
from orchestrator.models import Status
from orchestrator.store import agents, keys
from orchestrator.store.events import read_events
from orchestrator.wiring import new_id
from tests.pools import pool_worker
from tests.processes import eventually

#: kombu's own, of what was taken and is not acknowledged yet.
UNACKED, UNACKED_AGE = "unacked", "unacked_index"


@pytest.fixture
def client(valkey_url):
    with redis.Redis.from_url(valkey_url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def stock(valkey_url):
    with Celery("stock", broker=valkey_url, backend=valkey_url) as app:
        yield app


def send(app: Celery, tmp_path) -> str:
    """Ask for an agent that fails at once, for there is no such repository."""
    context = {"repository": str(tmp_path / "x.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "maxRetries": 0, "context": context}
    sent = app.send_task(
        SPAWN_TASK, kwargs={"request": body}, queue="spawn", priority=4, task_id=new_id()
    )
    return str(sent.id)


@contextmanager
def overheard(client: redis.Redis) -> Iterator[list[str]]:
    """Give every command that Valkey is sent meanwhile."""
    commands: list[str] = []
    is_over = threading.Event()
    with client.monitor() as monitor:

        def listen() -> None:
            for heard in monitor.listen():
                commands.append(heard["command"])
                if is_over.is_set():
                    return

        listening = threading.Thread(target=listen)
        listening.start()
        try:
            yield commands
        finally:
            is_over.set()
            client.ping()
            listening.join()


def test_it_is_registered_before_its_message_is_acknowledged(
    store, client, stock, valkey_url, tmp_path
):
    with overheard(client) as commands, pool_worker(tmp_path, valkey_url, "spawn"):
        agent_id = send(stock, tmp_path)
        eventually(lambda: client.exists(keys.agent(agent_id)))
        eventually(lambda: any(command.startswith(f"HDEL {UNACKED} ") for command in commands))
    acknowledged = next(at for at, it in enumerate(commands) if it.startswith(f"HDEL {UNACKED} "))
    registering = (f" {keys.agent(agent_id)} {keys.task('t')} ", f" {keys.request(agent_id)} ")
    registered = next(
        at for at, it in enumerate(commands) if all(part in it for part in registering)
    )
    assert registered < acknowledged
    reported = [entry.event.type for entry in store.run(read_events(after="0-0", count=100))]
    assert reported.count("agent.spawning") == 1


def test_one_whose_worker_died_before_that_is_delivered_again(
    store, client, stock, valkey_url, tmp_path
):
    agent_id = send(stock, tmp_path)
    with stock.connection_for_read() as connection:
        # As a worker takes it; that it is gone shows only in how long ago that was.
        taken = connection.SimpleQueue("spawn").get(timeout=10)
        assert taken.properties["correlation_id"] == agent_id
        ((tag, at),) = client.zrange(UNACKED_AGE, 0, -1, withscores=True)
        record = client.hget(UNACKED, tag)
    # A connection that is closed puts it back; a worker that is killed does not.
    client.delete(*client.keys("spawn*"))
    client.hset(UNACKED, tag, record)
    client.zadd(UNACKED_AGE, {tag: at - 61})
    with pool_worker(tmp_path, valkey_url, "spawn"):
        eventually(lambda: client.exists(keys.agent(agent_id)))
        eventually(lambda: store.run(agents.read(agent_id)).status is Status.FAILED)
    assert client.hlen(UNACKED) == 0
