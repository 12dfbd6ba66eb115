"""A request that came by Celery alone is not lost with the worker that took it."""

from __future__ import annotations

import base64
import json
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
def raw_worker(valkey_url, tmp_path):
    with pool_worker(tmp_path, valkey_url, "spawn") as worker:
        yield worker


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
        taken = connection.SimpleQueue("spawn").get(timeout=120)
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


def envelope(**changes) -> dict:
    """A message as Celery writes it, but for what a test changes."""
    agent_id = new_id()
    properties = {
        "correlation_id": agent_id, "delivery_tag": new_id(), "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "spawn"}, "priority": 0,
    }  # fmt: skip
    document = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(), "content-type": "application/json",
        "content-encoding": "utf-8", "properties": properties,
        "headers": {"task": SPAWN_TASK, "id": agent_id, "lang": "py"},
    }  # fmt: skip
    return {**document, **changes}


def with_properties(**changes) -> dict:
    document = envelope()
    return {**document, "properties": {**document["properties"], **changes}}


def with_headers(**changes) -> dict:
    document = envelope()
    headers = {**document["headers"], **changes}
    kept = {name: value for name, value in headers.items() if value is not None}
    return {**document, "headers": kept}


#: Entries that no worker can make a task of; most of them are kept aside.
UNREADABLE = {
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
    "half a message": json.dumps(envelope()).encode()[:90],
    "too deep": b"[" * 100_000,
    "a long number": b"9" * 9000,
    "a list": b"[1, 2]",
    "a text": b'"spawn"',
    "null": b"null",
    "an empty object": b"{}",
    "a number for an object": json.dumps(envelope(properties=5)).encode(),
    "no delivery": json.dumps(with_properties(delivery_info=None)).encode(),
    "no place": json.dumps(with_properties(delivery_info={})).encode(),
    "a list for a tag": json.dumps(with_properties(delivery_tag=["x"])).encode(),
    "a body that is no base64": json.dumps(envelope(body="%")).encode(),
    "a value that cannot be revived": (
        b'{"body": {"__type__": "datetime", "__value__": "x"}, "properties": {}}'
    ),
    "no id": json.dumps(with_headers(id=None)).encode(),
    "a task that is none": json.dumps(with_headers(task=["x"])).encode(),
    "limits of another form": json.dumps(with_headers(timelimit="soon")).encode(),
}


def test_what_is_no_message_is_set_aside_and_stops_no_worker(client, stock, valkey_url, tmp_path):
    with pool_worker(tmp_path, valkey_url, "spawn") as worker:
        for entry in UNREADABLE.values():
            client.lpush("spawn", entry)
        agent_id = send(stock, tmp_path)
        eventually(lambda: client.exists(keys.agent(agent_id)) or worker.process.poll() is not None)
        assert worker.process.poll() is None, worker.log.read_text()[-3000:]
        eventually(lambda: client.llen(keys.UNREADABLE) >= len(UNREADABLE) - 2)
        assert eventually(lambda: client.hlen(UNACKED) == 0)
    kept = [json.loads(entry) for entry in client.lrange(keys.UNREADABLE, 0, -1)]
    assert {entry["queue"] for entry in kept} == {"spawn"}
    assert all(entry["reason"] for entry in kept)
    assert "hello" in {entry["item"] for entry in kept}
    assert "message set aside" in worker.log.read_text()


WRONG = (
    {"args": ["x"]},
    {"kwargs": {"request": {}, "more": 1}},
    {"kwargs": {"body": {}}},
    {"kwargs": {"request": []}},
    {"kwargs": {"request": "x"}},
    {"kwargs": {"request": None}},
)


def test_a_raw_task_with_wrong_arguments_gets_its_result(stock, raw_worker):
    del raw_worker
    sent = [stock.send_task(SPAWN_TASK, queue="spawn", **message) for message in WRONG]
    outcomes = [stock.AsyncResult(one.id).get(timeout=300) for one in sent]
    assert {one["status"] for one in outcomes} == {"failed"}
    assert {one["errorCode"] for one in outcomes} == {"request_invalid"}


def test_a_raw_task_whose_body_is_no_arguments_gets_its_result(client, stock, raw_worker):
    del raw_worker
    bodies = (b"[[], 5, {}]", b"[]", b"{}", b"5", b"no JSON")
    documents = [envelope(body=base64.b64encode(body).decode()) for body in bodies]
    for document in documents:
        client.lpush("spawn", json.dumps(document))
    ids = [document["headers"]["id"] for document in documents]
    outcomes = [stock.AsyncResult(one).get(timeout=300) for one in ids]
    assert {one["errorCode"] for one in outcomes} == {"request_invalid"}
