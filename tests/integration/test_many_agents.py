"""Reads whose cost must not grow with the number of agents that are known, and their results."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors import CursorUnknown
from orchestrator.models import Status
from orchestrator.queries import agent_list, budget
from orchestrator.queries.timeline import read_timeline
from orchestrator.settings import load_settings
from orchestrator.store import agents
from orchestrator.wiring import clock
from tests.browser.seeding import Seed


@pytest.fixture
def seed(store):
    made = Seed(store)
    made.limit(daily=10**13, concurrency=1000)
    return made


def kinds(seed, *names):
    """Make agents of these kinds, each spawned a minute after the one before; newest last."""
    return [
        seed.make(kind, age=timedelta(minutes=len(names) - at)).agent_id
        for at, kind in enumerate(names)
    ]


def pages(store, **query):
    """Read all pages of a list."""
    found, cursor = [], ""
    while True:
        page = store.follow(agent_list.page(**query, cursor=cursor))
        found.append([agent.agent_id for agent in page.agents])
        if not page.next_cursor:
            return found
        cursor = page.next_cursor


def test_a_list_of_a_status_is_whole_and_newest_first(store, seed):
    made = kinds(seed, *("failed", "completed", "completed", "failed", "running", "failed") * 2)
    failed = [name for at, name in enumerate(made) if at % 6 in {0, 3, 5}][::-1]
    assert pages(store, status=Status.FAILED, limit=2) == [failed[:2], failed[2:4], failed[4:]]
    assert pages(store, status=Status.KILLED) == [[]]


def test_a_cursor_of_no_agent_is_refused(store, seed):
    kinds(seed, "failed")
    with pytest.raises(CursorUnknown):
        store.follow(agent_list.page(status=Status.FAILED, cursor="nobody"))


def test_the_sums_of_the_budget_count_agents_that_the_list_leaves_out(store, seed, monkeypatch):
    kinds(seed, "completed", "failed", "killed", "completed", "running")
    settings = load_settings({})
    whole = store.follow(budget.summary(settings, clock()))
    assert (whole.delivered.agents, whole.in_nothing.agents, whole.more_agents) == (2, 2, 0)
    monkeypatch.setattr(budget, "MOST_AGENTS", 1)
    part = store.follow(budget.summary(settings, clock()))
    assert part.agents == whole.agents[:1]
    assert part.more_agents == len(whole.agents) - 1
    assert part.delivered == whole.delivered
    assert part.in_nothing == whole.in_nothing
    assert sum(row.tokens_today for row in whole.agents) == whole.used


def test_a_timeline_has_the_events_of_its_agent_only(store, seed, monkeypatch):
    monkeypatch.setattr("orchestrator.store.trails._PART", 3)
    made = kinds(seed, "completed", "failed", "completed")
    for name in made:
        found = store.follow(read_timeline(store.run(agents.read(name)))).events
        assert {name in event.document for event in found} == {True}
        assert found[0].document.startswith('{"type":"agent.spawning"')
        assert list(found) == sorted(found, key=lambda event: tuple(map(int, event.id.split("-"))))
