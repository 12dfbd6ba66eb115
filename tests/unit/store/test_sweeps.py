"""The age of the newest sweep, whatever instants stand in Valkey."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.store.sweeps import age_s
from orchestrator.store.transition import now_ms

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("ages_ms", "expected_s"),
    [
        ({}, None),
        ({"scheduler": 4_000}, 4),
        ({"scheduler": 90_000, "timer": 5_000}, 5),
        # Valkey's clock was set back by two hours since the scheduler swept.
        ({"scheduler": -2 * HOUR_MS}, 7200),
        ({"scheduler": -2 * HOUR_MS, "timer": 3_000}, 3),
    ],
)
def test_the_newest_sweep_counts_and_one_of_the_future_is_old(ages_ms, expected_s):
    last = {name: now_ms(NOW) - age for name, age in ages_ms.items()}
    assert age_s(last, NOW) == expected_s
