"""The rules that select the result of a run which gave several results.

A client may give several results: a background task ends after the answer, a hook fails after the
work, or an error is followed by a success. The rules apply in this order:

1. A success always replaces an error, and an error never replaces a success. The gates check the
   change, and a success means that there is a change.
2. A later success replaces an earlier one if the agent used a tool in between, because the earlier
   summary does not describe that work. A success without turns replaces no other success.
3. A success with a summary replaces one without a summary. A success with turns replaces one
   without turns.
4. A later error replaces an earlier one, unless the later one has no turns.
"""

from __future__ import annotations

from orchestrator.interfaces.agent import Result


def outranks(new: Result, old: Result | None, *, has_worked: bool) -> bool:
    """Return whether a later result replaces the one that counted so far.

    `has_worked` says whether the agent used a tool since the old result.
    """
    if old is None or new.ok != old.ok:
        return old is None or new.ok
    if new.turns == 0:
        return old.turns == 0 and not old.ok
    if not new.ok or old.turns == 0:
        return True
    return has_worked or (not old.summary.strip() and bool(new.summary.strip()))
