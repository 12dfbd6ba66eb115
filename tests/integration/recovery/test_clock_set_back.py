"""Valkey's clock is set back by hours: nothing waits for the time to come again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors import LeaseLost, ProviderLimited
from orchestrator.leases.attempt_result import AwaitProvider
from orchestrator.maintenance.rescuer import CLEANED_WITHIN_S, LOST_AFTER_S
from orchestrator.store import agents, keys
from tests.integration.recovery.conftest import running, take_messages

TWO_HOURS_S = 2 * 3600


@pytest.fixture
def agent(store, client, holder, spawn):
    agent_id = spawn()
    take_messages(client)
    return running(holder, store, agent_id)


def sweep_after(monitor, clock, *seconds):
    for each in seconds:
        clock.forward(each)
        monitor.sweep()


def test_a_backoff_ends_in_time(client, clock, holder, monitor, agent):
    holder.recover(agent, LeaseLost())
    sweep_after(monitor, clock, -TWO_HOURS_S)
    assert take_messages(client) == [agent.agent_id]


def test_a_wait_for_a_provider_is_left_as_it_is(client, clock, holder, monitor, agent):
    until = clock() + timedelta(hours=5)
    holder.apply(agent, AwaitProvider(ProviderLimited(), until, 5.0))
    sweep_after(monitor, clock, 0, 60, 600)
    assert take_messages(client) == []
    sweep_after(monitor, clock, 5 * 3600)
    assert take_messages(client) == [agent.agent_id]


def test_a_lost_message_is_sent_again(client, clock, holder, monitor, agent):
    holder.enqueue_for_gates(agent, {}, b"change")
    take_messages(client)
    sweep_after(monitor, clock, 0, -TWO_HOURS_S, LOST_AFTER_S + 1)
    assert take_messages(client) == [f"{agent.agent_id}.gate_check.1"]


def test_a_lost_cleanup_is_sent_again(store, client, clock, holder, monitor, agent):
    holder.enqueue_for_gates(agent, {}, b"change")
    holder.complete(holder.claim_for_gates(agent.agent_id, 1), {})
    take_messages(client)
    assert store.run(agents.read(agent.agent_id)).phase == "ended"
    sweep_after(monitor, clock, -TWO_HOURS_S, CLEANED_WITHIN_S, LOST_AFTER_S + 1)
    (sent,) = take_messages(client)
    assert sent.startswith(f"{agent.agent_id}.")
    assert not client.zscore(keys.DELAYED, agent.agent_id)
