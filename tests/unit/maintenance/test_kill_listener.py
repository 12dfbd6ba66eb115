"""The kill listener: revokes what is killed while it listens; no fault is the end of it."""

from __future__ import annotations

import threading

import pytest

from orchestrator.maintenance import kill_listener
from orchestrator.maintenance.kill_listener import KillListener
from orchestrator.store import kills
from tests.processes import eventually
from tests.script_calls import NOW, seed


class Holder:
    """The leases of a worker, and their confirmations, as far as the listener uses them."""

    def __init__(self, store):
        self.store = store
        self.confirmation = self
        self.revoked: list[str] = []
        self.faults = 0
        self.reviews = 0
        self.is_over = False
        self.has_stopped = threading.Event()

    def revoke(self, agent_id: str) -> None:
        if self.faults:
            self.faults -= 1
            raise ValueError
        self.revoked.append(agent_id)

    def review(self) -> None:
        if self.is_over:
            self.has_stopped.set()
            threading.Event().wait()
        self.reviews += 1


@pytest.fixture
def holder(store, monkeypatch):
    monkeypatch.setattr(kill_listener, "BLOCK_MS", 20)
    monkeypatch.setattr(kill_listener, "PAUSE_S", 0.01)
    made = Holder(store)
    yield made
    made.is_over = True
    # Its thread has no end, and must not read from a store that is closed.
    assert made.has_stopped.wait(240)


@pytest.mark.parametrize("faults", [0, 1])
def test_it_revokes_what_is_killed_from_now_on_and_survives_a_fault(store, holder, faults):
    found = seed(store)
    KillListener(holder).start()
    # It listens from here on; one agent was killed before.
    eventually(lambda: holder.reviews)
    holder.faults = faults
    order = kills.KillOrder(by="ann", why="enough")
    store.run(kills.kill([found.running], order, now=NOW, tags=["one"]))
    eventually(lambda: holder.revoked if not faults else not holder.faults)
    seen = holder.reviews
    eventually(lambda: holder.reviews > seen)
    assert holder.revoked == (["running"] if not faults else [])
