"""Models, efforts and fallbacks over HTTP: what is offered, taken, refused and shown."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.integration.api.conftest import BODY, problem_of, serving

ARGV = json.dumps(["sh", "-c", "true", "sh", "{model}", "{effort}"])
OPTIONS = {
    "ORCHESTRATOR_AGENT": "command",
    "ORCHESTRATOR_BACKENDS__COMMAND__ARGV": ARGV,
    "ORCHESTRATOR_BACKENDS__COMMAND__MODELS": '["m-*"]',
    "ORCHESTRATOR_BACKENDS__COMMAND__MODEL": "m-0",
    "ORCHESTRATOR_MODELS": '{"reviewer": {"model": "m-9", "effort": "high"}}',
    "CLAUDE_API_KEY": "sk-only-here",
}


@pytest.fixture(scope="module")
def with_models(valkey_server):
    with serving(valkey_server, **OPTIONS) as (client, _):
        yield client


@pytest.fixture
def api(with_models, store) -> httpx.Client:
    return with_models


def spawned(api, **more):
    answer = api.post("/agents/spawn", json=BODY | more)
    assert answer.status_code == 201, answer.text
    return api.get(answer.headers["location"]).json()


def faults(api, **more):
    document = problem_of(api.post("/agents/spawn", json=BODY | more), 422)
    return {fault["path"]: fault["message"] for fault in document["errors"]}


def test_model_and_effort_are_in_the_state_the_list_the_request_and_the_events(api):
    state = spawned(api, model="m-1", effort="low")
    assert (state["agent"], state["model"], state["effort"]) == ("command", "m-1", "low")
    assert "choices" not in state
    [listed] = api.get("/agents").json()["agents"]
    assert listed == state
    request = api.get(f"/agents/{state['agentId']}/request").json()
    assert (request["model"], request["effort"]) == ("m-1", "low")
    [event] = api.get(f"/agents/{state['agentId']}/timeline").json()["events"]
    assert (event["agent"], event["model"], event["effort"]) == ("command", "m-1", "low")


def test_the_default_of_the_type(api):
    state = spawned(api, agentType="reviewer")
    assert (state["agent"], state["model"], state["effort"]) == ("command", "m-9", "high")
    assert "model" not in spawned(api, agentType="reviewer", agent="scripted")


def test_fallbacks_are_in_the_state_in_their_order(api):
    state = spawned(api, model="m-1", fallback=[{"model": "m-2"}, {"agent": "scripted"}])
    assert state["choices"] == [
        {"agent": "command", "model": "m-1"},
        {"agent": "command", "model": "m-2"},
        {"agent": "scripted"},
    ]
    assert spawned(api, fallback=[]).keys() == spawned(api).keys()


def test_a_model_that_no_backend_takes_is_one_fault_with_its_path(api):
    assert faults(api, model="gpt") == {
        "model": "the backend command does not offer 'gpt', only m-*"
    }
    assert faults(api, agent="scripted", model="m-1").keys() == {"model"}
    assert faults(api, fallback=[{"agent": "nobody"}, {"model": "x"}]).keys() == {
        "fallback.0.agent",
        "fallback.1.model",
    }
    assert api.get("/agents").json() == {"agents": []}


@pytest.mark.parametrize("other", [{"model": "m-2"}, {"effort": "low"}, {"fallback": []}])
def test_an_idempotency_key_with_another_model_is_a_conflict(api, other):
    body = BODY | {"model": "m-1", "fallback": [{"agent": "scripted"}]}
    headers = {"Idempotency-Key": "k"}
    first = api.post("/agents/spawn", json=body, headers=headers)
    assert api.post("/agents/spawn", json=body, headers=headers).json() == first.json()
    problem_of(api.post("/agents/spawn", json=body | other, headers=headers), 409)


def test_the_list_of_models(api):
    answer = api.get("/models")
    found = {one["agent"]: one for one in answer.json()["backends"]}
    assert {"claude", "command", "scripted"} <= found.keys()
    command = found["command"]
    assert (command["models"], command["efforts"]) == (["m-*"], ["*"])
    assert (command["model"], command["isDefault"]) == ("m-0", True)
    assert command["defaultFor"] == {"reviewer": {"model": "m-9", "effort": "high"}}
    assert found["claude"]["hasKey"] is True
    assert found["claude"]["efforts"] == ["low", "medium", "high", "xhigh", "max"]
    assert (found["scripted"]["models"], found["scripted"]["isDefault"]) == ([], False)
    assert "sk-only-here" not in answer.text


def test_the_document_names_what_this_server_takes(api):
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    rules = json.dumps(schemas["SpawnRequest"]["allOf"])
    assert "^(m\\\\-.*)$" in rules or "^(m-.*)$" in rules
    assert {"model", "effort", "fallback"} <= schemas["SpawnRequest"]["properties"].keys()
    assert "/models" in api.get("/openapi.json").json()["paths"]
