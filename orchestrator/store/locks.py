"""The lock of the sweep: any number of schedulers may run, one sweeps at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.store import keys
from orchestrator.store.client import Store
from orchestrator.store.operations import call, essential

#: A sweep that takes longer is taken for dead; two at once are harmless.
LOCK_MS = 60_000


@contextmanager
def sweeping(store: Store, token: str) -> Iterator[bool]:
    """Hold the sweep's lock meanwhile; yields False where another holds it."""
    is_mine = store.run(essential("SET", keys.SWEEP_LOCK, token, "NX", "PX", LOCK_MS, decode=bool))
    try:
        yield is_mine
    finally:
        if is_mine:
            store.run(call("unlock", {"lock": keys.SWEEP_LOCK}, (token,), bool))
