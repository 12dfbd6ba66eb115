"""The lease protocol, checked in every state it can reach; and the checker, on broken protocols."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.model import invariants
from tests.model.explorer import Explored, Violated, explore
from tests.model.lease_model import actions, start
from tests.model.lease_promises import ACROSS_FAILOVERS, ALWAYS, EVENTUALLY
from tests.model.lease_state import FAULT, KILL, Rules, State

MOST_STATES = 150_000
#: Each mistake → the promises it may break first, and how many faults it takes to show it.
MISTAKES = {
    "recovery_takes_a_new_token": ("a_stale_attempt_writes_nothing", 1),
    "heartbeat_adds_no_lease": ("a_held_agent_has_a_lease_or_is_recovered", 1),
    "claim_looks_at_the_state": ("a_killed_agent_is_never_claimed", 0),
    "hand_over_looks_at_the_phase": ("a_stale_attempt_writes_nothing", 1),
    "refused_ends_nothing": ("a_stale_attempt_writes_nothing", 1),
    "let_go_ends_nothing": ("a_stale_attempt_writes_nothing", 1),
    "deadline_ends_the_agent": ("at_most_one_live_attempt", 1),
    "deadline_has_its_own_thread": ("at_most_one_live_attempt", 1),
    "recovery_compares_the_lease": ("an_attempt_in_time_is_left_alone", 1),
    "failing_compares_the_lease": ("an_attempt_in_time_is_left_alone", 2),
    "writes_look_at_the_status": ("a_final_state_never_changes", 0),
    "push_compares_the_state": ("a_stale_attempt_writes_nothing", 0),
    "remote_compares": ("at_most_one_push", 1),
    "end_leaves_the_index": ("counts_add_up", 0),
    "release_frees_the_lease": ("a_held_agent_has_a_lease_or_is_recovered", 0),
    "sweep_sends_again": ("every_active_agent_has_a_message_a_lease_or_a_date", 1),
    "deadline_is_monotonic": ("at_most_one_live_attempt", 1),
    "sweep_waits_after_a_jump": ("at_most_one_live_attempt", 0),
    "recovery_compares_the_found_lease": ("at_most_one_live_attempt", 1),
    "sweep_shortens_leases": ("every_agent_ends", 1),
    "writes_compare_the_holder": ("a_stale_attempt_writes_nothing", 0),
    "early_recovery_needs_a_death": ("at_most_one_live_attempt", 0),
}
#: Mistakes that show only where a clock jumps, a failover loses what was written last, or the host
#: of a dead process is gone too.
SCOPES = {
    "deadline_is_monotonic": {"jumps": 1},
    "sweep_waits_after_a_jump": {"jumps": 1},
    "recovery_compares_the_found_lease": {"jumps": 1},
    "sweep_shortens_leases": {"jumps": 1, "hosts": 0},
    "writes_compare_the_holder": {"failovers": 1},
}


def explored(rules: Rules) -> Explored[State]:
    """Visit every state under these rules."""
    always = ACROSS_FAILOVERS if rules.failovers else ALWAYS
    return explore(
        start(rules), lambda state: actions(state, rules), always, most_states=MOST_STATES
    )


def hold(rules: Rules) -> Explored[State]:
    """Hold all that is promised, at every state and from every state."""
    found = explored(rules)
    # What is true eventually is so without the operator's kill, once no new fault comes.
    calm = found.without(lambda action: action == KILL or action.startswith(FAULT))
    for name, is_goal in EVENTUALLY.items():
        calm.hold_reachable(name, is_goal)
    # Not only some way: whatever order things happen in.
    calm.hold_every_run_ends("every_agent_ends", EVENTUALLY["every_agent_ends"])
    found.hold_every_run_ends("every_agent_ends", EVENTUALLY["every_agent_ends"])
    return found


def test_the_model_holds_every_promise_and_no_other():
    assert ALWAYS.keys() == invariants.ALWAYS.keys()
    assert EVENTUALLY.keys() == invariants.EVENTUALLY.keys()


def test_the_protocol_keeps_its_promises_in_every_state_and_every_run_ends():
    found = hold(Rules())
    print(f"{len(found.following)} states, depth {found.depth}")
    assert len(found.following) > 50_000, "the model has lost most of its actions"


@pytest.mark.soak
def test_three_workers_at_once_keep_them_too():
    hold(Rules(faults=1, most_workers=3))


def test_a_host_that_is_gone_with_its_processes_breaks_none():
    hold(Rules(faults=1, hosts=0))


@pytest.mark.soak
def test_clocks_that_jump_break_no_promise():
    hold(Rules(faults=1, jumps=1))
    hold(Rules(faults=0, jumps=2))


def test_a_failover_that_loses_the_last_writes_leaves_one_who_may_write():
    hold(Rules(faults=0, failovers=1))


def test_every_rule_has_its_mistake():
    rules = {field.name for field in fields(Rules) if field.type == "bool"}
    assert rules == MISTAKES.keys()
    assert {name for name, _ in MISTAKES.values()} <= {*ALWAYS, *EVENTUALLY}


def mistakes() -> Iterator[object]:
    """Return the mistakes; those that take long to show are not for CI."""
    for name in MISTAKES:
        is_long = name in {"sweep_shortens_leases", "recovery_compares_the_found_lease"}
        yield pytest.param(name, marks=[pytest.mark.soak] if is_long else [])


@pytest.mark.parametrize("mistake", list(mistakes()))
def test_a_protocol_with_a_mistake_is_found_out_by_the_shortest_trace(mistake):
    broken_name, faults = MISTAKES[mistake]
    scope = SCOPES.get(mistake, {})
    rules = replace(Rules(faults=faults, **scope), **{mistake: False})
    with pytest.raises(Violated) as violated:
        hold(rules)
    assert broken_name in violated.value.names, violated.value
    most = faults + sum(scope.values())
    assert sum(action.startswith(FAULT) for action in violated.value.trace) <= most
    print(violated.value)


def test_a_trace_is_the_shortest_there_is():
    """Of the ways to 4 by steps of one and two, the one of two steps is told."""
    with pytest.raises(Violated) as violated:
        explore(
            0,
            lambda n: [("one", n + 1), ("two", n + 2)] if n < 6 else [],
            {"below four": lambda n: n != 4},
            most_states=10,
        )
    assert violated.value.trace == ("two", "two")


def test_a_circle_and_a_dead_end_are_no_end():
    circle = explore(0, lambda n: [("on", (n + 1) % 3)], {}, most_states=10)
    with pytest.raises(Violated):
        circle.hold_every_run_ends("ends", lambda _: True)
    line = explore(0, lambda n: [("on", n + 1)] if n < 3 else [], {}, most_states=10)
    line.hold_every_run_ends("ends", lambda n: n == 3)
    with pytest.raises(Violated):
        line.hold_every_run_ends("ends", lambda n: n == 4)
    with pytest.raises(Violated):
        line.hold_reachable("back", lambda n: n == 0)


def test_the_document_promises_the_same():
    document = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    promised = re.findall(r"^- `(\w+)`:", document, re.MULTILINE)
    assert promised == [*invariants.ALWAYS, *invariants.EVENTUALLY]
