"""The transition table is the contract's."""

from __future__ import annotations

from orchestrator.models import Status
from orchestrator.models.state_machine import ACTIVE, FINAL, TRANSITIONS, sources


def test_final_states_lead_nowhere_and_the_others_are_active():
    assert {Status.COMPLETED, Status.FAILED, Status.KILLED} == FINAL
    assert {Status.SPAWNING, Status.RUNNING} == ACTIVE
    assert all(not TRANSITIONS[status] for status in FINAL)


def test_only_a_running_agent_completes_but_any_active_one_fails_or_is_killed():
    assert sources(Status.COMPLETED) == (Status.RUNNING,)
    assert sources(Status.RUNNING) == (Status.SPAWNING,)
    assert set(sources(Status.FAILED)) == set(sources(Status.KILLED)) == ACTIVE
    assert sources(Status.SPAWNING) == ()
