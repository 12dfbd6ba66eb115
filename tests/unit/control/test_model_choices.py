"""Which backend, model and effort a request gets, and what of it is refused."""

from __future__ import annotations

import pytest

from orchestrator.control.model_choices import ModelChoices
from orchestrator.errors import RequestInvalid, SettingsInvalid
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models import AgentType, ModelChoice, SpawnRequest

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}
OFFERS = {
    "claude": ModelOffer(("claude-*", "opus*", "sonnet[1m]"), ("low", "high")),
    "any": ModelOffer(("*",), ()),
    "scripted": ModelOffer(),
}


def offers(name):
    if name == "broken":
        msg = "ORCHESTRATOR_BACKENDS__BROKEN__X: there is no such option."
        raise SettingsInvalid(msg)
    if name == "absent":
        msg = "No module named 'absent'"
        raise ImportError(msg)
    return OFFERS[name]


AGENTS = frozenset({*OFFERS, "broken", "absent"})


def choices(request, agent=None, **defaults):
    given = {AgentType(name): ModelChoice(**one) for name, one in defaults.items()}
    rules = ModelChoices("claude", AGENTS, given, offers)
    return [
        (one.agent, one.model, one.effort) for one in rules.of(SpawnRequest.parse(request), agent)
    ]


def faults(**more):
    with pytest.raises(RequestInvalid) as caught:
        choices(BODY | more)
    return dict(caught.value.faults)


def test_a_plain_request_builds_no_backend():
    rules = ModelChoices("broken", AGENTS, offers=offers)
    assert rules.of(SpawnRequest.parse(BODY))[0].name == "broken"


def test_the_request_precedes_the_default_of_its_type():
    worker = {"agent": "claude", "model": "opus", "effort": "low"}
    assert choices(BODY, worker=worker) == [("claude", "opus", "low")]
    assert choices(BODY, reviewer=worker) == [("claude", None, None)]
    asked = BODY | {"model": "claude-x", "effort": "high"}
    assert choices(asked, worker=worker) == [("claude", "claude-x", "high")]


def test_a_default_model_is_not_that_of_another_backend():
    worker = {"agent": "claude", "model": "opus", "effort": "low"}
    assert choices(BODY | {"agent": "any"}, worker=worker) == [("any", None, None)]
    assert choices(BODY, agent="any", worker=worker) == [("any", None, None)]
    assert choices(BODY, worker={"agent": "any", "model": "m"}) == [("any", "m", None)]


def test_a_model_that_is_not_offered_is_refused_with_what_is():
    assert faults(model="gpt-9") == {
        "model": "the backend claude does not offer 'gpt-9', only claude-*, opus*, sonnet[1m]"
    }
    assert faults(effort="max") == {
        "effort": "the backend claude does not offer 'max', only low, high"
    }
    refused = faults(agent="scripted", model="opus", effort="low")
    assert refused == {
        name: f"the backend scripted takes no {name}: leave it out, or choose another agent"
        for name in ("model", "effort")
    }


def test_a_pattern_with_brackets_is_a_name_too():
    assert choices(BODY | {"model": "sonnet[1m]"}) == [("claude", "sonnet[1m]", None)]


def test_fallbacks_stand_in_their_order_with_the_effort_where_it_is_taken():
    fallback = [{"agent": "any", "model": "m"}, {"model": "opus"}, {"agent": "scripted"}]
    assert choices(BODY | {"effort": "high", "fallback": fallback}) == [
        ("claude", None, "high"),
        ("any", "m", None),
        ("claude", "opus", "high"),
        ("scripted", None, None),
    ]


def test_a_fallback_to_the_default_backend_has_its_default_model():
    worker = {"agent": "claude", "model": "opus", "effort": "low"}
    asked = BODY | {"agent": "any", "fallback": [{"agent": "claude"}]}
    assert choices(asked, worker=worker) == [("any", None, None), ("claude", "opus", "low")]


def test_a_repeated_choice_is_left_out():
    fallback = [{"agent": "claude"}, {"model": "opus"}, {"agent": "claude", "model": "opus"}]
    assert choices(BODY | {"fallback": fallback}) == [
        ("claude", None, None),
        ("claude", "opus", None),
    ]


def test_every_fault_of_the_fallbacks_is_named_with_its_path():
    fallback = [
        {"agent": "nobody"},
        {"agent": "scripted", "model": "m"},
        {"agent": "any", "model": "m"},
        {"model": "m"},
        {"agent": "broken"},
        {"agent": "absent"},
    ]
    found = faults(model="gpt-9", fallback=fallback)
    assert found.keys() == {
        *("model", "fallback.0.agent", "fallback.1.model", "fallback.3.model"),
        *("fallback.4.agent", "fallback.5.agent"),
    }
    known = "absent, any, broken, claude, scripted"
    assert found["fallback.0.agent"] == f"must be one of {known}"
    assert "there is no such option" in found["fallback.4.agent"]
    assert "No module named 'absent'" in found["fallback.5.agent"]


def test_an_unknown_agent_is_one_fault_whatever_else_it_names():
    assert faults(agent="nobody", model="m", effort="high").keys() == {"agent"}


def test_defaults_that_no_backend_takes_are_found_at_the_start():
    wrong = {
        AgentType.WORKER: ModelChoice(agent="nobody"),
        AgentType.REVIEWER: ModelChoice(agent="claude", model="gpt-9", effort="low"),
    }
    rules = ModelChoices("claude", AGENTS, wrong, offers)
    assert [path for path, _ in rules.faults_of_defaults()] == ["worker.agent", "reviewer.model"]
