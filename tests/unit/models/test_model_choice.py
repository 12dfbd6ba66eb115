"""The names of models and the entries of `fallback`, as a request may give them."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import RequestInvalid
from orchestrator.models import SpawnRequest

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


def faults(**more):
    with pytest.raises(RequestInvalid) as caught:
        SpawnRequest.parse(BODY | more)
    return dict(caught.value.faults)


@pytest.mark.parametrize(
    "name",
    [
        "opus",
        "claude-sonnet-4-5-20250929",
        "sonnet[1m]",
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/x.y",
        "claude-3-5-sonnet@20240620",
        "meta-llama/llama-3.1-8b:free",
        "hf.co/org/name:Q4_K_M",
        "a" * 200,
    ],
)
def test_names_as_providers_and_gateways_write_them_are_taken(name):
    request = SpawnRequest.parse(BODY | {"model": name, "fallback": [{"model": name}]})
    assert (request.model, request.fallback[0].model) == (name, name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " opus", "opus ", "-opus", "--model", "@file", "../x", "a/../x", "a..b", "x."),
        *("a b", "a\nb", "a\x00b", "opus\u202e", "a$(id)", "a;b", "a'b", "ö", "a" * 201),
    ],
)
def test_a_name_that_a_program_could_misread_is_refused(name):
    assert faults(model=name).keys() == {"model"}
    assert faults(fallback=[{"model": name}]).keys() == {"fallback.0.model"}


@pytest.mark.parametrize("value", [5, True, ["opus"], {"name": "opus"}])
def test_a_name_is_a_text(value):
    assert faults(model=value).keys() == {"model"}
    assert faults(effort=value).keys() == {"effort"}


def test_an_entry_names_an_agent_or_a_model():
    for empty in ({}, {"agent": None}, {"agent": None, "model": None}):
        assert faults(fallback=[empty]) == {"fallback.0": "must name agent, model, or both"}
    assert faults(fallback=[{"agent": "claude", "effort": "high"}]).keys() == {"fallback.0.effort"}
    assert faults(fallback=[{"model": "x"}] * 11).keys() == {"fallback"}
    assert faults(fallback={"agent": "claude"}).keys() == {"fallback"}


def test_no_fallback_is_the_same_request_as_an_empty_one():
    assert SpawnRequest.parse(BODY | {"fallback": []}).wire() == SpawnRequest.parse(BODY).wire()


def test_a_request_survives_its_way_through_json():
    given = {"model": "opus", "effort": "high", "fallback": [{"agent": "a"}, {"model": "b"}]}
    request = SpawnRequest.parse(BODY | given)
    assert SpawnRequest.parse(json.loads(json.dumps(request.wire()))) == request
