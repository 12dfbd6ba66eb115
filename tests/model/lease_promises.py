"""The promises of the lease protocol, as facts of one state of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.models import Status
from orchestrator.models.state_machine import ACTIVE, FINAL
from tests.model.lease_state import HELD, Rules, State, accepts, message_of, working_in


def _has_its_lease(state: State) -> bool:
    is_held = state.status in ACTIVE and state.phase in HELD
    return is_held == (state.lease is not None)


def _unbroken(name: str) -> Callable[[State], bool]:
    return lambda state: state.broken != name


ALWAYS: Mapping[str, Callable[[State], bool]] = {
    "at_most_one_live_attempt": lambda state: sum(w.lives for w in working_in(state)) <= 1,
    "at_most_one_live_attempt_may_write": lambda state: (
        sum(accepts(state, worker, Rules()) for worker in working_in(state)) <= 1
    ),
    "a_stale_attempt_writes_nothing": _unbroken("a_stale_attempt_writes_nothing"),
    "an_attempt_in_time_is_left_alone": _unbroken("an_attempt_in_time_is_left_alone"),
    "a_final_state_never_changes": lambda state: state.ended in {None, state.status},
    "a_killed_agent_is_never_claimed": _unbroken("a_killed_agent_is_never_claimed"),
    "at_most_one_push": lambda state: (
        state.status is not Status.COMPLETED or state.branch == state.commit
    ),
    "a_held_agent_has_a_lease_or_is_recovered": _has_its_lease,
    "counts_add_up": lambda state: state.indexes == {state.status},
}

#: A worker whose claim was lost with the last second learns so from its next heartbeat.
ACROSS_FAILOVERS = {
    name: holds for name, holds in ALWAYS.items() if name != "at_most_one_live_attempt"
}

EVENTUALLY: Mapping[str, Callable[[State], bool]] = {
    "every_active_agent_has_a_message_a_lease_or_a_date": lambda state: (
        state.status in FINAL
        or state.lease is not None
        or state.delayed
        or message_of(state) in state.queue
    ),
    "every_agent_ends": lambda state: state.status in FINAL,
}
