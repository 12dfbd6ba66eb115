"""Which of the results of one run is its end.

A client may give several: after its answer a background task ends and it says a word more; a hook
fails after the work; it fails once and then succeeds. The rules, in their order:

1. A success is never replaced by an error, and always replaces one: what the gates judge is the
   change, and a success says that there is one.
2. A later success replaces an earlier one only if the agent used a tool in between, for then there
   is work that the earlier one does not speak of. Without that it is chatter. A success of no turns
   at all replaces none.
3. A success without words, or of no turns, is replaced by one with.
4. A later error replaces an earlier one, unless it is of no turns.
"""

from __future__ import annotations

from orchestrator.interfaces.agent import Result


def outranks(new: Result, old: Result | None, *, has_worked: bool) -> bool:
    """Return whether a later result takes the place of the one that counted so far.

    `has_worked`: the agent used a tool since the old one.
    """
    if old is None or new.ok != old.ok:
        return old is None or new.ok
    if new.turns == 0:
        return old.turns == 0 and not old.ok
    if not new.ok or old.turns == 0:
        return True
    return has_worked or (not old.summary.strip() and bool(new.summary.strip()))
