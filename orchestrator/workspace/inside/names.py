"""Names that git refuses to check out, and files that are core dumps."""

from __future__ import annotations

import re

#: The characters that HFS+ ignores in a name (listed in git's `utf8.c`).
_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_SHORT = re.compile(r"git~\d+")
_SHORT_MODULES = re.compile(r"gitmod~[1-4]|gi7eba~\d+")
_CORE = re.compile(rb"core(\.\d+)?")
_ELF_CORE = 4


def is_refused(name: bytes, *, is_link: bool = False, is_folder: bool = False) -> bool:
    """Return whether a checkout or fsck, on any system, treats this name as git's own."""
    if is_folder and name in (b".gitattributes", b".gitmodules"):
        return True
    if (
        name.isascii()
        and b"git" not in name.lower()
        and (not is_link or b"gi7" not in name.lower())
    ):
        return False
    for part in name.decode(errors="replace").split("\\"):
        shown = _IGNORABLE.sub("", part).lower().partition(":")[0].rstrip(" .")
        if shown == ".git" or _SHORT.fullmatch(shown):
            return True
        if is_link and (shown == ".gitmodules" or _SHORT_MODULES.fullmatch(shown)):
            return True
    return False


def may_be_core_dump(name: bytes) -> bool:
    """Return whether the kernel uses this form of name for core dumps."""
    return _CORE.fullmatch(name) is not None


def is_core_dump(head: bytes) -> bool:
    """Return whether a file with this beginning is the memory of a crashed program."""
    return head[:4] == b"\x7fELF" and _ELF_CORE in (head[16:17] + head[17:18])
