"""Anything that moves is work: output, tokens, processor time; a stall is none of them."""

from __future__ import annotations

import pytest

from orchestrator.stages.spawn.monitors.activity import Activity


@pytest.fixture
def clock():
    class Clock:
        at = 100.0

        def __call__(self) -> float:
            return self.at

    return Clock()


@pytest.mark.parametrize(
    "step",
    [
        {"output": 1, "tokens": 0, "cpu_s": 0.0},
        {"output": 0, "tokens": 1, "cpu_s": 0.0},
        # No output while a child of it computes.
        {"output": 0, "tokens": 0, "cpu_s": 0.5},
    ],
)
def test_whatever_moves_is_no_stall(clock, step):
    vitals = Activity(clock)
    clock.at += 60
    assert vitals.still_for_s() == 60
    vitals.record(**step)
    assert vitals.still_for_s() == 0


def test_a_process_that_only_wakes_up_to_look_gets_nowhere(clock):
    vitals = Activity(clock)
    for _ in range(60):
        clock.at += 1
        vitals.record(output=0, tokens=0, cpu_s=0.001)
    assert vitals.still_for_s() == 60


def test_processes_that_end_take_their_time_with_them_and_that_is_work(clock):
    vitals = Activity(clock)
    vitals.record(output=0, tokens=0, cpu_s=9.0)
    clock.at += 60
    vitals.record(output=0, tokens=0, cpu_s=1.0)
    assert vitals.still_for_s() == 0
