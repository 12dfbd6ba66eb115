"""A spawn over HTTP is durable, or every fault of it is named."""

from __future__ import annotations

import json

import pytest

from tests.integration.api.conftest import BODY, INSTANT, problem_of


def test_a_spawned_agent_is_readable_where_location_says(api):
    answer = api.post("/agents/spawn", json=BODY)
    agent_id = answer.json()["agentId"]
    assert answer.status_code == 201
    assert answer.json() == {"agentId": agent_id, "status": "spawning"}
    state = api.get(answer.headers["location"]).json()
    assert (state["agentId"], state["taskId"]) == (agent_id, "task-1")
    assert (state["status"], state["phase"]) == ("spawning", "queued")
    assert INSTANT.fullmatch(state["spawnedAt"])
    assert "completedAt" not in state


def test_every_fault_of_a_body_is_listed_with_its_path(api):
    body = {"agentType": "boss", "context": {"repository": "ext::sh", "branch": "-x"}, "extra": 1}
    document = problem_of(api.post("/agents/spawn", json=body), 422)
    assert {fault["path"] for fault in document["errors"]} == {
        "taskId",
        "agentType",
        "context.repository",
        "context.branch",
        "context.workItems",
        "extra",
    }
    assert all(fault["message"] for fault in document["errors"])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'"text"', b"null", b"1" * 5000],
    ids=["empty", "cut", "not-utf8", "deep", "list", "text", "null", "huge-number"],
)
def test_a_body_that_is_no_json_object_is_a_fault_of_the_body(api, body):
    document = problem_of(api.post("/agents/spawn", content=body), 422)
    assert [fault["path"] for fault in document["errors"]] == ["body"]


def test_a_lone_surrogate_is_refused_and_not_stored(api):
    body = json.dumps(BODY).replace("add a function", "\\ud800")
    document = problem_of(api.post("/agents/spawn", content=body), 422)
    assert document["errors"][0]["path"] == "context.workItems.0"
    assert api.get("/agents").json() == {"agents": []}


def test_a_body_over_one_mebibyte_is_413_even_without_a_length(api):
    chunks = (b" " * 65_536 for _ in range(17))
    problem_of(api.post("/agents/spawn", content=chunks), 413)
    problem_of(api.post("/agents/spawn", content=b" " * (2**20 + 1)), 413)


def test_the_content_type_does_not_matter(api):
    answer = api.post("/agents/spawn", content=json.dumps(BODY), headers={"content-type": "x/y"})
    assert answer.status_code == 201


def test_an_idempotency_key_names_one_agent_and_one_body(api):
    headers = {"Idempotency-Key": "k"}
    first = api.post("/agents/spawn", json=BODY, headers=headers)
    again = api.post("/agents/spawn", json=BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert len(api.get("/agents").json()["agents"]) == 1
    other = api.post("/agents/spawn", json=BODY | {"priority": 9}, headers=headers)
    document = problem_of(other, 409)
    assert document["type"] == "urn:orchestrator:error:idempotency_conflict"
