"""Each fault at each step of an agent's life: nothing is lost, and nothing happens twice.

`CRASH_STEPS=all` meets agents at every step; without it, most faults do at some of them.
"""

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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.steps])
def test_an_agent_met_by_a_fault_at_any_step_comes_to_its_right_end(name: str, tmp_path: Path):
    fault = FAULTS[name]
    with crashing(tmp_path, fault.steps, fault.site) as crash:
        fault.strike(crash)
        crash.await_end(*fault.steps)
        assert_nothing_lost_and_nothing_twice(crash)
        found = {step: crash.carried_on(step) for step in fault.steps}
        assert not {step: how for step, how in found.items() if how not in fault.outcome(step)}
        assert_every_slot_is_back(crash)


def test_the_sample_of_each_fault_meets_every_step_somewhere():
    assert all(set(fault.sample) <= STEPS.keys() for fault in FAULTS.values())
    assert {step for fault in FAULTS.values() for step in fault.sample} == STEPS.keys()


def test_the_documentation_shows_the_matrix_as_it_is_tested():
    assert documented() == table()
