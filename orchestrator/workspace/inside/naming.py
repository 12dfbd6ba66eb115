"""The names of the commits beside the change in its bundle, and their meaning."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

CHANGE = "refs/orchestrator/change"
#: The name of the agent's own commits below the change, whose contents the change replaced.
HISTORY = "history"
_RETAINED = "refs/orchestrator/retained/"
_KINDS = ("tree", "branch", "stash", "worktree", "checkpoint")
#: Every other byte is written as %XX, because git or a file system could refuse it.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/.")
_DOT = re.compile(r"(?<![A-Za-z0-9_-])\.|\.(?![A-Za-z0-9_-])|\.(?=lock(/|$))")
_SLASH = re.compile(r"^/|/$|/(?=/)")
_QUOTED = re.compile(rb"%([0-9A-F]{2})")
_LONGEST = 200


def ref_of(kind: str, name: str) -> str:
    """Return the ref for a kind and a name that `short_name` returned."""
    data = name.encode(errors="backslashreplace")
    quoted = "".join(chr(sign) if sign in _PLAIN else f"%{sign:02X}" for sign in data)
    return f"{_RETAINED}{kind}/{_SLASH.sub('%2F', _DOT.sub('%2E', quoted))}"


def short_name(name: str, taken: Callable[[str], bool]) -> str:
    """Return a name that fits into a ref and that is not taken.

    The end of a long name is replaced by a digest of it, so that no two names become one.
    """
    if len(name) > _LONGEST:
        digest = hashlib.sha1(name.encode(errors="backslashreplace")).hexdigest()[:12]
        name = f"{name[: _LONGEST - 13]}~{digest}"
    found, number = name, 1
    while taken(found):
        number += 1
        found = f"{name}~{number}"
    return found


def read_ref(ref: str) -> tuple[str, str] | None:
    """Return the kind and the name of a ref of `ref_of`; None for any other ref."""
    kind, _, name = ref[len(_RETAINED) :].partition("/")
    if not ref.startswith(_RETAINED) or kind not in _KINDS or not name:
        return None
    plain = _QUOTED.sub(lambda found: bytes([int(found[1], 16)]), name.encode())
    return kind, plain.decode(errors="backslashreplace")
