"""`orchestrator.leases.kill_confirmation`: what a worker says of a kill, and of whose."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import pytest

from orchestrator.errors import StoreUnreachable
from orchestrator.host.cancel_scope import CancelScope
from orchestrator.leases.kill_confirmation import KillConfirmation
from orchestrator.models import AgentState, Status
from orchestrator.store import agent_transitions, keys, kills
from orchestrator.store.client import Store
from tests.script_calls import NOW, seed

ORDER = kills.KillOrder(by="ann", why="enough")


@dataclass
class Held:
    """A lease, as far as a confirmation reads it."""

    agent: AgentState
    cancel_scope: CancelScope = field(default_factory=CancelScope)


@dataclass
class Trees:
    """The records of supervisors that were killed."""

    proven: bool

    def is_proven(self, agent_id: str) -> bool:
        assert agent_id == "running"
        return self.proven


@pytest.fixture
def runs(store):
    return seed(store).running


def kill(store, agent):
    store.run(kills.kill([agent], ORDER, now=NOW, tags=["tag"]))


def receipt(client):
    return json.loads(client.get(keys.receipt("running")))


def test_what_a_supervisor_saw_end_is_confirmed(store, client, runs):
    kill(store, runs)
    held = Held(runs)
    held.cancel_scope.record((7, 8), ended_at_s=0.0, is_proven=True)
    KillConfirmation(store, "1:1").confirm_if_killed(held)
    found = receipt(client)
    assert (found["confirmed"], found["proof"], found["pids"]) == (True, "supervisor", [7, 8])


@pytest.mark.parametrize(("by_scope", "trees"), [(False, None), (False, True), (True, False)])
def test_without_a_proof_the_kill_is_left_to_the_host_cleaner(store, client, runs, by_scope, trees):
    kill(store, runs)
    held = Held(runs)
    held.cancel_scope.record((), ended_at_s=None, is_proven=by_scope)
    kept = None if trees is None else Trees(trees)
    KillConfirmation(store, "1:1", kept).confirm_if_killed(held)
    found = receipt(client)
    assert "confirmed" not in found
    assert "workerProcess" not in found or found["workerProcess"] is None
    assert client.zscore(keys.UNCONFIRMED, "running") is not None


@pytest.mark.parametrize(
    "changes", [{"attempt": 2}, {"worker_process": "2:2"}, {"agent_id": "nobody"}]
)
def test_a_kill_of_what_another_holds_is_not_confirmed(store, client, runs, changes):
    kill(store, runs)
    confirmation = KillConfirmation(store, changes.get("worker_process", "1:1"))
    confirmation.confirm_if_killed(Held(runs.model_copy(update=changes)))
    assert "confirmed" not in receipt(client)


def test_an_agent_that_was_not_killed_has_nothing_to_confirm(store, client, runs):
    confirmation = KillConfirmation(store, "1:1")
    confirmation.confirm_if_killed(Held(runs))
    store.run(agent_transitions.end(runs, Status.FAILED, now=NOW, tag="t"))
    confirmation.confirm_if_killed(Held(runs))
    assert not client.exists(keys.receipt("running"))


def test_what_could_not_be_said_is_said_by_a_review_and_forgotten(store, client, runs):
    confirmation, held = KillConfirmation(store, "1:1"), Held(runs)
    confirmation.abandon(held, StoreUnreachable("It is away."))
    # It still runs: nothing is known of its end.
    confirmation.review()
    kill(store, runs)
    # The worker's slot does not wait for Valkey a second time.
    confirmation.confirm_if_killed(held)
    unsaid = receipt(client)
    assert "confirmed" not in unsaid
    confirmation.review()
    assert receipt(client)["confirmed"] is True
    client.set(keys.receipt("running"), json.dumps(unsaid))
    confirmation.review()
    assert receipt(client) == unsaid


def test_a_late_confirmation_counts_to_the_end_of_the_last_process(store, client, runs):
    kill(store, runs)
    written = receipt(client)
    client.set(
        keys.receipt("running"), json.dumps({**written, "clockMs": written["clockMs"] - 60_000})
    )
    held = Held(runs)
    held.cancel_scope.record((), ended_at_s=time.monotonic() - 40, is_proven=True)
    KillConfirmation(store, "1:1").confirm_if_killed(held)
    # Both ages grow by what this test takes.
    assert 15_000 < receipt(client)["durationMs"] < 25_000


def test_with_a_proof_of_all_trees_the_kill_is_confirmed(store, client, runs):
    kill(store, runs)
    KillConfirmation(store, "1:1", Trees(proven=True)).confirm_if_killed(Held(runs))
    assert receipt(client)["confirmed"] is True


def test_only_an_agent_of_this_attempt_and_process_was_killed_here(store, runs):
    confirmation = KillConfirmation(store, "1:1")
    assert not confirmation.was_killed(runs)
    kill(store, runs)
    assert confirmation.was_killed(runs)
    assert not confirmation.was_killed(runs.model_copy(update={"attempt": 2}))
    assert not KillConfirmation(store, "2:2").was_killed(runs)


class FailsOnce(Store):
    """As while Valkey restarts."""

    is_away = True

    def run(self, operation):
        if self.is_away:
            self.is_away = False
            msg = "It is away."
            raise StoreUnreachable(msg)
        return super().run(operation)


def test_a_kill_that_valkey_did_not_hear_of_is_confirmed_by_the_next_review(
    store, client, runs, valkey_url
):
    kill(store, runs)
    away = FailsOnce(valkey_url)
    confirmation = KillConfirmation(away, "1:1")
    confirmation.confirm_if_killed(Held(runs))
    assert "confirmed" not in receipt(client)
    confirmation.review()
    assert receipt(client)["confirmed"] is True
    away.close()


@pytest.mark.parametrize("ended", ["failed", "another attempt"])
def test_a_review_forgets_what_ended_otherwise_or_is_another_s(store, client, runs, ended):
    confirmation = KillConfirmation(store, "1:1")
    if ended == "failed":
        confirmation.abandon(Held(runs), StoreUnreachable("It is away."))
        store.run(agent_transitions.end(runs, Status.FAILED, now=NOW, tag="t"))
    else:
        lost = runs.model_copy(update={"attempt": 7})
        confirmation.abandon(Held(lost), StoreUnreachable("It is away."))
    confirmation.review()
    assert not confirmation._abandoned
    assert not client.exists(keys.receipt("running"))
