"""How each ecosystem runs its checks: one file each, exporting `build(settings) -> Detector`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

#: They run the commands of a file of the checked tree; they come after all others.
_INDIRECT = ("node", "make")

_REPORT = re.compile(
    r"(?<![\w./-])(?:\./)?((?:\w[\w.-]*/)*"
    r"(?:coverage\.json|coverage\.xml|cobertura-coverage\.xml|cobertura\.xml|lcov\.info"
    r"|coverage\.lcov|coverage-summary\.json|cover(?:age)?\.out))(?![\w./-])"
)
#: A comment of a shell; a # inside a word begins none.
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
#: The maximum depth of a workspace's pattern.
_MOST_LEVELS = 8
_TEST_FOLDER = re.compile(r"(^|/)(tests?|specs?|__tests__|testing)(/|$)")


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return detectors' names in the order in which their commands run.

    Detectors that name a tool come first, by name; then package.json's scripts, and Makefile
    targets last, because an agent can change what those two run.
    """
    return tuple(
        sorted(names, key=lambda name: (name in _INDIRECT and _INDIRECT.index(name) + 1, name))
    )


def folders_with(names: Collection[str], paths: Iterable[str]) -> set[str]:
    """Return the folders that contain a file with one of these names."""
    return {folder for path in paths for folder, _, name in [path.rpartition("/")] if name in names}


def is_member(folder: str, patterns: Iterable[str]) -> bool:
    """Return whether a workspace's patterns name a folder; the last match decides."""
    is_named = False
    for pattern in patterns:
        parts = pattern.removeprefix("!").removeprefix("./").strip("/").split("/")
        if len(parts) <= _MOST_LEVELS and _fits(folder.split("/"), parts):
            is_named = not pattern.startswith("!")
    return is_named


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or _fits(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def is_in_test_folder(path: str) -> bool:
    """Return whether a path lies below a folder with a name for tests."""
    return _TEST_FOLDER.search(path.rpartition("/")[0]) is not None


def mentioned_report(text: str) -> str | None:
    """Return the first coverage report that a script names outside comments, if it can be read."""
    match = _REPORT.search(_COMMENT.sub("", text))
    return match[1] if match else None
