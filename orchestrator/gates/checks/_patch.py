"""The view of a change for a reviewer: a list of every file, and the patch within a budget."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: The characters of a patch that a reviewer reads; up to as many again may be cut.
BUDGET_CHARACTERS = 200_000
_FILE = re.compile(r"^(?=diff --git )", re.MULTILINE)


class PatchTooLarge(ValueError):
    """More of the patch would be cut than shown."""


@dataclass(frozen=True)
class ShownPatch:
    """The parts of a patch within the budget, and a list of all files."""

    #: A line for each file of the change: lines added and removed, its path, and the cut part.
    files: str
    text: str
    #: The files that are not shown whole.
    cut: tuple[str, ...]


def shown(patch: str, budget: int = BUDGET_CHARACTERS) -> ShownPatch:
    """Share the budget, in characters, between the files: the smallest whole, the largest cut.

    Raises:
        PatchTooLarge: the patch is over twice the budget.
    """
    if len(patch) > 2 * budget:
        msg = (
            f"the patch is too large to be reviewed ({len(patch):,} characters, of {2 * budget:,}):"
            " split the work, or use the profile custom without ai-review"
        )
        raise PatchTooLarge(msg)
    parts = [part for part in _FILE.split(patch) if part]
    share = _share((len(part) for part in parts), budget)
    return ShownPatch(
        files="\n".join(_listed(part) + _lack(part, share) for part in parts),
        text="".join(part if len(part) <= share else f"{part[:share]}\n" for part in parts),
        cut=tuple(_path(part) for part in parts if _lack(part, share)),
    )


def _share(sizes: Iterable[int], budget: int) -> int:
    """Return the maximum number of characters for each file, so that all of them fit."""
    ordered = sorted(sizes)
    for number, size in enumerate(ordered):
        share = budget // (len(ordered) - number)
        if size > share:
            return share
        budget -= size
    return max(ordered, default=0)


def _listed(part: str) -> str:
    hunks = part.partition("\n@@ ")[2]
    added, removed = (hunks.count(f"\n{sign}") for sign in "+-")
    return f"+{added} -{removed} {_path(part)}"


def _lack(part: str, share: int) -> str:
    if "\nBinary files " in part.partition("\n@@ ")[0]:
        return ": NOT SHOWN, it is no text"
    return f": CUT, {share:,} of {len(part):,} characters" if len(part) > share else ""


def _path(part: str) -> str:
    # `diff --git a/<path> b/<path>`, the same path twice; git quotes a newline in it.
    names = part.partition("\n")[0].removeprefix("diff --git ")
    return names[len(names) // 2 + 1 :].replace("b/", "", 1)
