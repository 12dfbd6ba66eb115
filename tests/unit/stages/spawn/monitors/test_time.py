"""The time of an agent is limited over all its attempts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.errors import (
    AgentTimedOut,
)
from orchestrator.stages.spawn.monitors.time import TimeMonitor


@pytest.mark.parametrize("ran_s", [0.0, 50.0], ids=["first-attempt", "a-later-one"])
def test_time_runs_out_with_one_warning_and_by_the_limit_that_is_in_force(ran_s):
    """And it is the agent's: what earlier attempts took of it is gone."""
    at_s, reported, noted = [0.0], [], []
    limits = SimpleNamespace(time_s=100.0)
    holder = SimpleNamespace(
        store=SimpleNamespace(follow=lambda _flow: limits),
        warn=lambda _agent, error: reported.append(error.code),
        update=lambda _agent, facts: noted.append(facts["ranS"]),
    )
    agent = SimpleNamespace(ran_s=ran_s)
    watch = TimeMonitor(
        holder, None, agent, clock=lambda: at_s[0]
    )  # fmt: skip

    def look_at(now_s: float) -> None:
        at_s[0] = now_s - ran_s
        watch.check()

    look_at(79.9)
    assert reported == []
    for now_s in (80, 81, 99.9):
        look_at(now_s)
    assert reported == ["time_warning"]
    limits.time_s = 200.0
    look_at(100)
    limits.time_s = 110.0
    with pytest.raises(AgentTimedOut, match="its limit is 110 s"):
        look_at(115)
    assert noted[-1] == 115
