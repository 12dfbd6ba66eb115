"""Retry delays: exponential, capped, jittered."""

from __future__ import annotations

import pytest

from orchestrator.retry import calculate_backoff_delay


def most(attempt: int) -> float:
    return calculate_backoff_delay(attempt, jitter=lambda: 1.0)


def test_the_delay_doubles_from_one_second_up_to_the_cap():
    assert [most(attempt) for attempt in (1, 2, 3, 9, 10, 1_000_000)] == [1, 2, 4, 256, 300, 300]


def test_base_and_cap_can_be_chosen():
    assert calculate_backoff_delay(3, 0.5, 1.5, jitter=lambda: 1.0) == 1.5


def test_full_jitter_spreads_from_zero_to_the_delay():
    delays = [calculate_backoff_delay(4) for _ in range(200)]
    assert all(0 <= delay <= 8 for delay in delays)
    assert min(delays) < 2
    assert max(delays) > 6


def test_attempts_count_from_one():
    with pytest.raises(ValueError, match="from 1"):
        calculate_backoff_delay(0)
