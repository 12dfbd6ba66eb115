"""Names that git refuses to check out, and files that are nobody's work by what they hold."""

from __future__ import annotations

import re

#: What HFS+ leaves out of a name (as `utf8.c` of git lists it).
_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_SHORT = re.compile(r"git~\d+")
_SHORT_MODULES = re.compile(r"gitmod~[1-4]|gi7eba~\d+")
_CORE = re.compile(rb"core(\.\d+)?")
_ELF_CORE = 4


def is_refused(name: bytes, *, is_link: bool = False, is_folder: bool = False) -> bool:
    """Whether a checkout, or fsck, on any system takes this name for git's own."""
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
    """Whether the kernel names its dumps like this."""
    return _CORE.fullmatch(name) is not None


def is_core_dump(head: bytes) -> bool:
    """Whether a file that begins so is the memory of a crashed program."""
    return head[:4] == b"\x7fELF" and _ELF_CORE in (head[16:17] + head[17:18])
