"""Each guard of rescheduling, alone: without it an attempt would take what is another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.store import agents, changes
from tests.integration.delivery.judged import NEW
from tests.integration.delivery.lab import Lab

LOST = Reschedule(OrchestratorError("lost"))


def test_an_agent_that_has_ended_is_not_rescheduled(judged):
    judged.kill()
    before = judged.lab.state(judged.agent.agent_id)
    judged.delivery.holder.apply(judged.agent, LOST)
    assert judged.lab.state(judged.agent.agent_id) == before


def test_an_attempt_that_was_replaced_does_not_reschedule_the_next(judged):
    judged.recover()
    before = judged.lab.state(judged.agent.agent_id)
    judged.delivery.holder.apply(judged.agent, LOST)
    assert judged.lab.state(judged.agent.agent_id) == before


def test_a_lease_that_was_renewed_meanwhile_refuses_the_rescuer(judged):
    before = judged.lab.state(judged.agent.agent_id)
    judged.delivery.holder.apply(judged.agent, LOST, found_lease_ms=1)
    assert judged.lab.state(judged.agent.agent_id) == before


def test_an_agent_that_is_gone_is_not_rescheduled(judged):
    gone = judged.agent.model_copy(update={"agent_id": "gone"})
    judged.delivery.holder.apply(gone, LOST)


@pytest.mark.parametrize("counts", [True, False])
def test_only_what_counts_spends_a_recovery(judged, counts):
    judged.delivery.holder.apply(judged.agent, replace(LOST, counts=counts))
    state = judged.lab.state(judged.agent.agent_id)
    assert (state.recoveries, state.attempt) == (int(counts), judged.agent.attempt + 1)


@pytest.mark.parametrize("has_change", [True, False])
def test_the_next_attempt_goes_on_from_this_ones_change_if_it_left_one(
    tmp_path, valkey_url, remote, has_change
):
    lab = Lab(tmp_path, valkey_url)
    holder = lab.services.runner.holder
    agent = holder.claim(lab.spawn(remote, NEW))
    assert agent is not None
    agent = holder.start(agent, base_commit="1" * 40)
    if has_change:
        lab.store.follow(changes.save_change(agent.agent_id, agent.attempt, b"x", for_s=60))
    holder.apply(agent, LOST)
    state = lab.store.run(agents.read(agent.agent_id))
    assert state.continues_attempt == (agent.attempt if has_change else None)
