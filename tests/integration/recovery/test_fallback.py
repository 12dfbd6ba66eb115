"""A provider at its limit: the agent falls back in order, and waits where nothing is left."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import AttemptStale, FallbackUnavailable, ProviderLimited
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.retry_policy import RecoveryPolicy
from orchestrator.models import Phase, Status
from orchestrator.store import agent_transitions, agents, kills, provider_limits
from orchestrator.store.events import read_events
from tests.integration.recovery.conftest import BODY, running, state, take_messages

AGENTS = frozenset({"one", "two", "three"})
FALLBACK = [{"model": "small"}, {"agent": "two"}]


@pytest.fixture
def door(clock, new_id):
    return SubmitService("one", AGENTS, clock, new_id, offers=lambda _: ModelOffer(("*",), ()))


@pytest.fixture
def spawn(store, door):
    return lambda **more: (
        store.run(door.submit({**BODY, "model": "large", "fallback": FALLBACK, **more})).agent_id
    )


@pytest.fixture
def limited(clock):
    def make(for_s):
        error = ProviderLimited("429.")
        error.resets_at_s = (clock() + timedelta(seconds=for_s)).timestamp()
        return error

    return make


def fallbacks(store, agent_id):
    found = store.run(read_events(after="0-0"))
    return [
        one.event
        for one in found
        if one.event.type == "agent.fallback" and one.event.agent_id == agent_id
    ]


def reach_limit(holder, agent_id, error):
    with holder.holding(holder.claim(agent_id)):
        raise error


def test_it_goes_on_at_once_with_the_next_entry_and_tells_so(store, client, holder, spawn, limited):
    agent_id = spawn()
    take_messages(client)
    reach_limit(holder, agent_id, limited(100))
    goes_on = state(store, agent_id)
    assert (goes_on.agent, goes_on.model, goes_on.choice) == ("one", "small", 1)
    assert (goes_on.phase, goes_on.recoveries) == (Phase.QUEUED, 0)
    assert take_messages(client) == [agent_id]
    [record] = goes_on.fell_back
    assert (record.from_choice, record.to) == ("one:large", "one:small")
    [event] = fallbacks(store, agent_id)
    assert (event.fallback_from, event.agent, event.model) == ("one:large", "one", "small")
    assert "one:large is at its limit until 00:01 UTC" in event.reason
    assert event.reason_code == "provider_limited"
    claimed = holder.claim(agent_id)
    assert (claimed.agent, claimed.model) == ("one", "small")


def test_other_agents_fall_back_when_they_are_claimed(store, holder, spawn, limited):
    first, second, plain, other = spawn(), spawn(), spawn(fallback=[]), spawn(model="m")
    reach_limit(holder, first, limited(100))
    claimed = holder.claim(second)
    assert (claimed.agent, claimed.model, claimed.attempt) == ("one", "small", 1)
    assert len(fallbacks(store, second)) == 1
    assert holder.claim(plain) is None
    assert state(store, plain).model == "large"
    # The limit is that of one model.
    assert holder.claim(other).model == "m"


def test_where_all_are_limited_it_waits_for_the_earliest(
    store, client, clock, holder, monitor, spawn, limited
):
    agent_id = spawn()
    for for_s in (100, 40, 200):
        take_messages(client)
        reach_limit(holder, agent_id, limited(for_s))
    waits = state(store, agent_id)
    assert waits.agent == "two"
    assert take_messages(client) == []
    due_s = client.zscore("orchestrator:delayed", agent_id) / 1000 - clock().timestamp()
    assert 40 <= due_s <= 40 + RecoveryPolicy.provider_jitter_s
    clock.forward(40 + RecoveryPolicy.provider_jitter_s)
    monitor.sweep()
    assert take_messages(client) == [agent_id]
    again = holder.claim(agent_id)
    assert (again.agent, again.model) == ("one", "small")
    assert [one.to for one in again.fell_back] == ["one:small", "two", "one:small"]


def test_a_wait_at_the_claim_is_for_the_earliest_too(store, clock, client, holder, spawn, limited):
    limits = (("one", "large", 300), ("one", "small", 90), ("two", None, 60))
    agent_id = spawn()
    for name, model, for_s in limits:
        choice = state(store, agent_id).current.model_copy(update={"agent": name, "model": model})
        until = clock() + timedelta(seconds=for_s)
        store.run(provider_limits.limit_provider(choice, until=until, now=clock()))
    assert holder.claim(agent_id) is None
    assert fallbacks(store, agent_id) == []
    due_s = client.zscore("orchestrator:delayed", agent_id) / 1000 - clock().timestamp()
    assert 60 <= due_s <= 60 + RecoveryPolicy.provider_jitter_s


def test_limits_that_are_over_do_not_stay(store, clock, spawn):
    agent_id = spawn()
    choice = state(store, agent_id).current
    for model in ("a", "b"):
        one = choice.model_copy(update={"model": model})
        until = clock() + timedelta(seconds=10)
        store.run(provider_limits.limit_provider(one, until=until, now=clock()))
        clock.forward(20)
    assert store.run(provider_limits.read_limits()).keys() == {"one:b"}


def test_a_fallback_that_cannot_be_started_is_left_out(store, client, holder, spawn, limited):
    agent_id = spawn()
    reach_limit(holder, agent_id, limited(100))
    take_messages(client)
    reach_limit(holder, agent_id, FallbackUnavailable("There is no program 'x'."))
    goes_on = state(store, agent_id)
    assert (goes_on.agent, goes_on.recoveries) == ("two", 0)
    assert [one.name for one in goes_on.choices] == ["one:large", "two"]
    assert take_messages(client) == [agent_id]
    assert fallbacks(store, agent_id)[-1].reason == "There is no program 'x'."
    reach_limit(holder, agent_id, FallbackUnavailable("There is no program 'y'."))
    waits = state(store, agent_id)
    assert (waits.agent, waits.model, waits.choice) == ("one", "large", None)
    assert client.zscore("orchestrator:delayed", agent_id)
    assert take_messages(client) == []


def test_a_killed_agent_does_not_fall_back(store, clock, holder, spawn, limited):
    agent_id = spawn()
    agent = running(holder, store, agent_id)
    order = kills.KillOrder(by="ann", why="enough")
    with holder.holding(agent):
        store.run(kills.kill([agent], order, now=clock(), tags=["tag"]))
        raise limited(100)
    ended = state(store, agent_id)
    assert (ended.status, ended.agent, ended.model) == (Status.KILLED, "one", "large")
    assert fallbacks(store, agent_id) == []
    # What it learned of the provider serves the others.
    assert "one:large" in store.run(provider_limits.read_limits())


def test_a_killed_agent_that_waits_is_not_claimed(store, clock, holder, spawn, limited):
    agent_id = spawn()
    reach_limit(holder, agent_id, limited(100))
    order = kills.KillOrder(by="ann", why="enough")
    store.run(kills.kill([state(store, agent_id)], order, now=clock(), tags=["tag"]))
    assert holder.claim(agent_id) is None
    assert state(store, agent_id).status is Status.KILLED


def test_a_stale_attempt_changes_no_choice(store, clock, new_id, holder, monitor, spawn, limited):
    """The lease of a slow worker runs out; then it reports the limit of its provider."""
    agent_id = spawn()
    slow = holder.claim(agent_id)
    clock.forward(31)
    monitor.sweep()
    clock.forward(60)
    monitor.sweep()
    other = AgentLeases(store, clock, new_id, worker="spawn@there", process="2:2", lease_s=30)
    owner = other.claim(agent_id)
    with holder.holding(slow):
        raise limited(100)
    now_is = state(store, agent_id)
    assert (now_is.attempt, now_is.worker) == (owner.attempt, "spawn@there")
    assert (now_is.model, now_is.fell_back) == ("large", None)


def test_a_claim_with_an_old_record_changes_no_choice(store, clock, holder, spawn):
    """Between the read and the claim of one worker another one claimed, and requeued the agent."""
    agent_id = spawn()
    old = state(store, agent_id)
    with holder.holding(holder.claim(agent_id)) as lease:
        holder.stop()
        lease.check()
    step = agent_transitions.FallbackStep("one:large", {"model": "small"}, "r", "c")
    late = agent_transitions.claim(
        old, "w@h", "3:3", lease_s=30, now=clock(), tag="t", fallback=step
    )
    with pytest.raises(AttemptStale):
        store.run(late)
    assert state(store, agent_id).model == "large"


def test_a_retry_begins_with_the_first_choice_again(store, clock, holder, door, spawn, limited):
    agent_id = spawn(effort=None)
    reach_limit(holder, agent_id, limited(5))
    order = kills.KillOrder(by="ann", why="enough")
    store.run(kills.kill([state(store, agent_id)], order, now=clock(), tags=["tag"]))
    flow = door.retry(agent_id, is_afresh=False, retain_s=60, by="ann", why="")
    again = state(store, store.follow(flow).agent_id)
    assert (again.agent, again.model, again.choice, again.fell_back) == ("one", "large", None, None)
    assert [one.name for one in again.choices] == ["one:large", "one:small", "two"]
    request = store.run(agents.read_request(again.agent_id))
    assert json.loads(json.dumps(request.wire()))["fallback"] == FALLBACK
