"""The names that git accepts for branches and for the author of a commit."""

from __future__ import annotations

import re

# git-check-ref-format(1): what no ref name contains, wherever it stands.
_REF_REFUSED = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|/\.|^[./]|\.lock(?:/|$)|[./]$|[\ud800-\udfff]"
)
#: git stores a ref as a file, whose name has at most 255 bytes with the ending `.lock`.
_PART_BYTES = 250
_BRANCH_BYTES = 1000
_AUTHOR = re.compile(r"[^<>\x00-\x1f\x7f]*[^<>\x00-\x20\x7f.,:;\"'\\] <[^<>\x00-\x20\x7f]+>")


def is_ref_name(name: str) -> bool:
    """Return whether git accepts a name as a ref, or as the part of a ref below `refs/heads/`.

    The name may contain signs of a shell, so it must never be part of a shell command.
    """
    if not name or _REF_REFUSED.search(name):
        return False
    parts = [part.encode() for part in name.split("/")]
    return sum(map(len, parts)) <= _BRANCH_BYTES and max(map(len, parts)) <= _PART_BYTES


def check_branch(branch: str) -> str:
    """Return the name of a branch, without `refs/heads/`.

    Raises:
        ValueError: git refuses it as the name of a branch.
    """
    branch = branch.removeprefix("refs/heads/")
    # `git check-ref-format --branch` refuses options and HEAD too.
    if not is_ref_name(branch) or branch.startswith("-") or branch == "HEAD":
        msg = "is not a branch name that git accepts: see `git check-ref-format --branch`"
        raise ValueError(msg)
    return branch


def check_branch_prefix(prefix: str) -> str:
    """Return the part of a branch name before the agent's id.

    Raises:
        ValueError: git refuses the name that comes of it.
    """
    if not prefix or prefix.startswith(("-", "refs/heads/")) or not is_ref_name(f"{prefix}x"):
        msg = "must be the beginning of a branch name that git accepts, such as agent/"
        raise ValueError(msg)
    return prefix


def check_author(author: str) -> str:
    """Return the author of a commit, as `Name <address>`.

    Raises:
        ValueError: it is none.
    """
    if not _AUTHOR.fullmatch(author):
        msg = "must be written as `Name <address>`"
        raise ValueError(msg)
    return author
