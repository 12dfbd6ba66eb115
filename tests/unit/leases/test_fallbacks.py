"""Which choice an agent uses while providers are at their limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.errors import FallbackUnavailable
from orchestrator.leases.fallbacks import free_choice, without_present
from orchestrator.models import AgentState, ModelChoice
from orchestrator.models.model_choice import MOST_FALLBACK_RECORDS
from orchestrator.store.provider_limits import limited_until_ms
from orchestrator.store.transition import now_ms

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHOICES = tuple(ModelChoice(agent=name, model=model) for name, model in
                (("a", "x"), ("a", "y"), ("b", None), ("c", None)))  # fmt: skip


def agent(choice=0, choices=CHOICES, **facts):
    chosen = choices[choice]
    return AgentState(
        agent_id="a-1", task_id="t-1", status="running", phase="executing", agent_type="worker",
        agent=chosen.agent, model=chosen.model, choices=choices, choice=choice or None,
        repository="/x.git", base_branch="main", gate_profile="minimal", priority=5, max_retries=3,
        attempt=1, spawned_at=NOW, **facts,
    )  # fmt: skip


def limits(**left_s):
    names = dict(zip(("ax", "ay", "b", "c"), (one.name for one in CHOICES), strict=True))
    return {names[key]: now_ms(NOW + timedelta(seconds=s)) for key, s in left_s.items()}


@pytest.mark.parametrize(
    ("choice", "limited", "expected"),
    [
        (0, {"ax": 60}, "a:y"),
        (0, {"ax": 60, "ay": 60}, "b"),
        (1, {"ay": 60}, "b"),
        # It ends with those before it, so that the first choice serves again.
        (3, {"c": 60}, "a:x"),
        (3, {"c": 60, "ax": 60}, "a:y"),
        # A limit that is over is none.
        (0, {"ax": 60, "ay": -1}, "a:y"),
    ],
)
def test_the_next_free_choice_in_order(choice, limited, expected):
    switch = free_choice(agent(choice), limits(**limited), NOW)
    assert switch.choices[switch.number].name == expected
    assert switch.reason.startswith(f"The provider of {CHOICES[choice].name} is at its limit until")


def test_where_every_choice_is_limited_the_earliest_is_waited_for():
    limited = limits(ax=60, ay=30, b=90, c=45)
    assert free_choice(agent(), limited, NOW) is None
    assert limited_until_ms(agent(), limited) == now_ms(NOW + timedelta(seconds=30))
    assert limited_until_ms(agent(), limits(ax=60)) == 0


def test_without_fallbacks_an_agent_waits_for_its_own_provider():
    alone = agent(choices=CHOICES[:1]).model_copy(update={"choices": ()})
    assert free_choice(alone, limits(ax=60), NOW) is None
    assert limited_until_ms(alone, limits(ax=60)) == now_ms(NOW + timedelta(seconds=60))


def test_the_facts_of_a_change():
    step = free_choice(agent(), limits(ax=60), NOW).step(NOW)
    assert (step.before, step.reason_code) == ("a:x", "provider_limited")
    assert step.facts["choice"] == 1
    assert (step.facts["agent"], step.facts["model"]) == ("a", "y")
    [record] = step.facts["fellBack"]
    assert (record["from"], record["to"]) == ("a:x", "a:y")
    assert "sessionAgent" not in step.facts


@pytest.mark.parametrize(
    ("choice", "owner", "limited", "expected"),
    [
        # Another model of the same backend resumes the session.
        (0, None, {"ax": 60}, None),
        (0, None, {"ax": 60, "ay": 60}, "a"),
        # Before a session of `b` began, `a` takes its own up again.
        (2, "a", {"b": 60, "c": 60}, None),
        (2, "a", {"b": 60}, "a"),
        (2, None, {"b": 60}, "b"),
    ],
)
def test_whose_session_it_is(choice, owner, limited, expected):
    found = agent(choice, session_id="s", session_agent=owner)
    assert free_choice(found, limits(**limited), NOW).step(NOW).facts["sessionAgent"] == expected


def test_only_the_latest_fallbacks_are_recorded():
    found = agent()
    for number in range(MOST_FALLBACK_RECORDS + 5):
        name = found.current.name
        facts = free_choice(found, {name: now_ms(NOW) + 1000}, NOW).step(NOW).facts
        found = AgentState.model_validate({**found.wire(), **facts})
        assert len(found.fell_back) == min(number + 1, MOST_FALLBACK_RECORDS)


def test_a_fallback_that_cannot_be_started_is_left_out():
    error = FallbackUnavailable("There is no program.")
    switch, delay_s = without_present(agent(2), limits(ax=60), NOW, error)
    assert [one.name for one in switch.choices] == ["a:x", "a:y", "c"]
    assert (switch.choices[switch.number].name, delay_s) == ("c", 0)
    assert switch.step(NOW).reason_code == "fallback_unavailable"
    last, delay_s = without_present(agent(3), limits(ax=60, ay=20, b=30), NOW, error)
    assert (last.choices[last.number].name, delay_s) == ("a:y", 20)
