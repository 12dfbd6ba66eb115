"""A store that has one agent in each state."""

from __future__ import annotations

import pytest

from orchestrator.store.client import Store
from tests.script_calls import Agents, seed


@pytest.fixture
def now_is(store: Store) -> Agents:
    return seed(store)
