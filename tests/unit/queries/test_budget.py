"""The status of a day's budget."""

from __future__ import annotations

import pytest

from orchestrator.models import BudgetStatus
from orchestrator.queries.budget import status_of


@pytest.mark.parametrize(
    ("used", "status"),
    [
        (0, BudgetStatus.WITHIN_BUDGET),
        (799, BudgetStatus.WITHIN_BUDGET),
        (800, BudgetStatus.APPROACHING_LIMIT),
        (999, BudgetStatus.APPROACHING_LIMIT),
        (1000, BudgetStatus.AT_LIMIT),
        (1001, BudgetStatus.EXCEEDED),
    ],
)
def test_a_day_has_four_statuses(used, status):
    assert status_of(used, 1000) is status
