"""What an agent's state says of its captures: what they retained, and what they left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.models import LeftOut, Phase, Retained
from orchestrator.models.state_machine import AWAITING_SPAWN
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, text, to_json

#: The bounds of `leftOut`: the oldest entries beyond them are counted in others.
MOST_LEFT_OUT = 40
MOST_PATHS = 10
#: The phases before the next attempt begins its work.
_STARTING = AWAITING_SPAWN | {Phase.PREPARING}


def record_capture(
    agent_id: str,
    attempt: int,
    *,
    left_out: Sequence[LeftOut] = (),
    unfinished: Sequence[str] = (),
    change: str = "",
    retained: Sequence[Retained] = (),
) -> Operation[str]:
    """Record the capture of one attempt in the state of its agent, whatever that state is.

    `leftOut` keeps the entries of all attempts. `change` is the commit of the attempt's bundle, if
    it made one: then `retained` replaces that of the attempts before it. If a newer attempt runs or
    has ended, `retained` gets one entry for the whole bundle instead, because the bundle of the
    newer attempt does not contain it. Answers `recorded` or `absent`. Touches: the agent.
    """
    report = {
        "attempt": attempt,
        "leftOut": [_plain(one) for one in left_out],
        "unfinished": list(unfinished),
        "change": change,
        "retained": [_plain(one) for one in retained],
        "starting": sorted(_STARTING),
    }
    given = {name: value for name, value in report.items() if value not in ([], "")}
    return _record(agent_id, "captured", given)


def record_continued(agent_id: str, attempt: int, change: str) -> Operation[str]:
    """Record that the present attempt continues from this change of an earlier one."""
    return _record(agent_id, "continued", {"attempt": attempt, "change": change})


def record_apart(agent_id: str, attempt: int, change: str) -> Operation[str]:
    """Record that the present attempt could not continue from this change of an earlier one."""
    return _record(agent_id, "apart", {"attempt": attempt, "change": change})


def _record(agent_id: str, what: str, report: dict[str, Any]) -> Operation[str]:
    return call(
        "record_capture",
        {"agent": keys.agent(agent_id)},
        (what, to_json(report), MOST_LEFT_OUT, MOST_PATHS),
        text,
    )


def _plain(one: LeftOut | Retained) -> dict[str, Any]:
    """Return the entry of a report; the script adds the attempt."""
    return {name: value for name, value in one.wire().items() if name != "attempt" and value != ""}
