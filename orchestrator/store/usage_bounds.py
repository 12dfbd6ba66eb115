"""What a report of tokens and cost may hold: numbers from outside are bounded before they count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: More than any agent spends; as in `lua/_budget.lua`, which refuses what gets past this.
MOST_TOKENS = 10**15
MOST_COST_USD = 10**6
_COSTS = ("costUsd", "clientCostUsd")


def plausible(patch: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a patch without what is not plausible in its `usage`, and whether there was any.

    A wrong cost is left out alone, so that it hides no tokens; with a wrong count all of it is.
    """
    usage = patch.get("usage")
    if usage is None:
        return dict(patch), False
    rest = {name: value for name, value in patch.items() if name != "usage"}
    if not isinstance(usage, Mapping):
        return rest, True
    counts = {name: value for name, value in usage.items() if name not in _COSTS}
    if not all(_is_number(count, MOST_TOKENS) and count % 1 == 0 for count in counts.values()):
        return rest, True
    given = {name: usage[name] for name in _COSTS if usage.get(name) is not None}
    costs = {name: cost for name, cost in given.items() if _is_number(cost, MOST_COST_USD)}
    return {**rest, "usage": counts | costs}, costs != given


def _is_number(value: object, most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= most
