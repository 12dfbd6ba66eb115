"""Our envelope and our result are what Celery itself writes, field by field."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import redis
from celery import Celery

from orchestrator.messages import (
    GATE_CHECK_TASK,
    GATES_QUEUE,
    PRIORITY_SEPARATOR,
    PRIORITY_STEPS,
    SPAWN_QUEUE,
    SPAWN_TASK,
    StageMessage,
    celery_priority,
    contract_priority,
    result_frame,
    result_key,
)


@pytest.fixture
def client(valkey_url):
    with redis.Redis.from_url(valkey_url) as connection:
        yield connection


@pytest.fixture
def stock(valkey_url):
    """A Celery application that knows our ten priorities and nothing else of ours."""
    with Celery("stock", broker=valkey_url, backend=valkey_url) as app:
        app.conf.broker_transport_options = {"priority_steps": list(range(10))}
        yield app


def opened(message: bytes) -> dict:
    envelope = json.loads(message)
    envelope["body"] = json.loads(base64.b64decode(envelope["body"]))
    return envelope


@pytest.mark.parametrize(
    "message",
    [
        StageMessage(SPAWN_TASK, SPAWN_QUEUE, "0b7c", 3),
        StageMessage(GATE_CHECK_TASK, GATES_QUEUE, "0b7c", 10, attempt=2),
    ],
)
def test_the_envelope_is_celerys(message, stock, client):
    stock.send_task(
        message.task,
        kwargs=message.kwargs,
        queue=message.queue,
        task_id=message.task_id,
        root_id=message.agent_id,
        parent_id=None if message.task == SPAWN_TASK else message.agent_id,
        priority=celery_priority(message.priority),
        ignore_result=True,
    )
    theirs = opened(client.rpop(message.key))
    ours = opened(message.envelope(delivery_tag="tag", origin="somewhere"))
    for document in (theirs, ours):
        assert document["properties"].pop("delivery_tag")
        assert document["headers"].pop("origin")
        # A routing detail that a consumer never reads: theirs names the exchange it declared.
        document["properties"].pop("delivery_info")
    # Celery's producer asks for a reply queue of its own; nobody replies to a stage.
    theirs["properties"]["reply_to"] = ""
    assert theirs == ours


def test_a_result_reads_back_through_celery(stock, client):
    before, after = result_frame("an-agent", datetime.now(UTC))
    client.set(result_key("an-agent"), before + json.dumps({"status": "failed"}) + after)
    result = stock.AsyncResult("an-agent")
    assert result.state == "SUCCESS"
    assert result.get(timeout=120) == {"status": "failed"}
    assert result.date_done is not None


def test_a_result_has_the_fields_celery_writes(stock, client):
    stock.backend.store_result("theirs", {"a": 1}, "SUCCESS")
    before, after = result_frame("ours", datetime.now(UTC))
    theirs = json.loads(client.get(result_key("theirs")))
    assert theirs.keys() == json.loads(before + "{}" + after).keys()


def test_priorities_run_from_ten_most_urgent_to_celerys_zero_first():
    assert [celery_priority(priority) for priority in range(10, 0, -1)] == list(PRIORITY_STEPS)
    assert PRIORITY_SEPARATOR == "\x06\x16"
    assert StageMessage(SPAWN_TASK, SPAWN_QUEUE, "a", 10).key == "spawn"
    assert StageMessage(SPAWN_TASK, SPAWN_QUEUE, "a", 1).key == "spawn\x06\x169"


def test_a_raw_message_without_a_priority_counts_as_five():
    # kombu writes 0 where the client gave none, so 0 cannot mean "most urgent".
    assert contract_priority(0) == 5
    assert [contract_priority(step) for step in (1, 5, 9)] == [9, 5, 1]
    # kombu clamps the list it pushes to, and leaves the header as the client wrote it.
    assert [contract_priority(step) for step in (-1, 10, 255)] == [10, 1, 1]
