"""Each fault at each step of an agent's life: nothing is lost, and nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.crashes.crash import crashing
from tests.faults.crashes.faults import FAULTS
from tests.faults.crashes.invariants import (
    assert_every_slot_is_back,
    assert_nothing_lost_and_nothing_twice,
)
from tests.faults.crashes.steps import STEPS
from tests.faults.crashes.table import documented, table


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FAULTS)
def test_an_agent_met_by_a_fault_at_any_step_comes_to_its_right_end(name: str, tmp_path: Path):
    fault = FAULTS[name]
    with crashing(tmp_path) as crash:
        fault.strike(crash)
        crash.await_end(*STEPS)
        assert_nothing_lost_and_nothing_twice(crash)
        found = {step: crash.carried_on(step) for step in STEPS}
        assert not {step: how for step, how in found.items() if how not in fault.outcome(step)}
        assert_every_slot_is_back(crash)


def test_the_documentation_shows_the_matrix_as_it_is_tested():
    assert documented() == table()
