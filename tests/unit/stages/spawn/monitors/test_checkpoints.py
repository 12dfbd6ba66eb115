"""A running agent's work is kept at the end of each turn, if not just now, and by the clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.stages.spawn.monitors.checkpoints import CheckpointMonitor


@pytest.fixture
def part():
    """As much of a part as says how far the agent is; counts how often its work was kept."""
    kept = SimpleNamespace(transcript=SimpleNamespace(messages=1), count=0)

    def keep() -> None:
        kept.count += 1

    kept.checkpoint = keep
    return kept


def test_a_turn_that_is_over_is_kept_once(part):
    checkpoints = CheckpointMonitor(part, every_s=3600, turn_pause_s=0)
    for messages, count in ((1, 1), (1, 1), (2, 2), (2, 2), (4, 3)):
        part.transcript.messages = messages
        checkpoints.check()
        assert part.count == count


def test_turns_that_follow_each_other_quickly_are_kept_together(part):
    checkpoints = CheckpointMonitor(part, every_s=3600, turn_pause_s=60)
    for _ in range(3):
        part.transcript.messages += 1
        checkpoints.check()
    assert part.count == 0


def test_without_turns_the_clock_decides(part):
    part.transcript.messages = 0
    checkpoints = CheckpointMonitor(part, every_s=0)
    checkpoints.check()
    checkpoints.check()
    assert part.count == 2
