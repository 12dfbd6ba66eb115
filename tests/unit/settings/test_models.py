"""ORCHESTRATOR_MODELS: the defaults of each agentType."""

from __future__ import annotations

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.gates.checks import ai_review
from orchestrator.models import AgentType, ModelChoice
from orchestrator.settings import load_settings
from orchestrator.wiring import default_choices, submit_service

NAME = "ORCHESTRATOR_MODELS"


def choices(text, **more):
    return default_choices(load_settings({NAME: text, **more}))


def test_without_it_no_type_has_a_default():
    assert load_settings({}).models == {}
    assert default_choices(load_settings({})) == {}


def test_a_default_is_for_the_backend_beside_it_or_the_default_backend():
    text = '{"worker": {"model": "m"}, "tester": {"agent": "command", "effort": "low"}}'
    assert choices(text, ORCHESTRATOR_AGENT="claude") == {
        AgentType.WORKER: ModelChoice(agent="claude", model="m"),
        AgentType.TESTER: ModelChoice(agent="command", effort="low"),
    }


@pytest.mark.parametrize("text", ["x", "[]", '{"boss": {}}', '{"worker": {"modle": "m"}}', "5"])
def test_a_wrong_value_stops_with_its_name(text):
    with pytest.raises(SettingsInvalid, match=f"^{NAME}"):
        load_settings({NAME: text})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"worker": {"agent": "nobody"}}', "worker.agent: must be one of"),
        ('{"worker": {"model": "m"}}', "worker.model: the backend scripted takes no model"),
        ('{"tester": {"agent": "claude", "effort": "x"}}', "tester.effort: the backend claude"),
    ],
)
def test_a_default_that_no_backend_takes_stops_the_start(text, fault):
    with pytest.raises(SettingsInvalid, match=f"^{NAME}: {fault}"):
        submit_service(load_settings({NAME: text}))


def test_the_review_of_a_change_has_the_default_of_reviewers():
    text = '{"reviewer": {"agent": "claude", "model": "opus", "effort": "high"}}'
    review = ai_review.build(load_settings({NAME: text}))
    assert (review._model, review._effort) == ("opus", "high")
    other = ai_review.build(load_settings({NAME: text, "ORCHESTRATOR_REVIEWER": "command"}))
    assert (other._model, other._effort) == (None, None)
