"""The tests that a change removes, found by their names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

_NAME_CHARACTERS = 200
#: The paths of files that may contain tests, by name or folder.
TEST_PATH = re.compile(
    r"(^|/)(?i:tests?|__tests__|specs?)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$|_test\.go$"
    r"|\.(test|spec)\.[cm]?[jt]sx?$"
)
#: The files that test runners find in any folder.
_NAMED_TEST_PATH = re.compile(
    r"(^|/)(test_[^/]*|[^/]*_test)\.py$|_test\.go$|\.(test|spec)\.[cm]?[jt]sx?$|\.rs$"
)
#: The declaration of a test in test frameworks; the group is its name or its title.
_TEST = re.compile(
    r"""^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)|^func[ \t]+(Test\w+)"""
    r"""|\b(?:it|test)(?:\.\w+)?\(\s*["'`]([^"'`]+)""",
    re.MULTILINE,
)
_RUST_TEST = re.compile(
    r"#\[(?:\w{1,99}::)?test\b[^\]\n]{0,99}\]\s*(?:#\[[^\]\n]{0,99}\]\s*){0,9}"
    r"(?:pub\s+)?(?:async\s+)?fn\s+(\w+)"
)


def find_lost_tests(changes: Sequence[FileChange]) -> Iterator[Finding]:
    """Yield each test that is gone; a renamed test is reported as gone, for review.

    A moved test still counts if it still runs: the new file must be found in the same way as the
    old one, by its name or by its folder.
    """
    named: set[str] = set()
    placed: dict[str, set[str]] = {}
    for change in changes:
        if _NAMED_TEST_PATH.search(change.path):
            named |= test_names(change.path, change.after)
        elif TEST_PATH.search(change.path):
            kept = placed.setdefault(PurePosixPath(change.path).suffix, set())
            kept |= test_names(change.path, change.after)
    for change in changes:
        is_named = _NAMED_TEST_PATH.search(change.path)
        if is_named or TEST_PATH.search(change.path):
            kept = named if is_named else named | placed[PurePosixPath(change.path).suffix]
            for name in sorted(test_names(change.path, change.before) - kept):
                detail = f"{name[:_NAME_CHARACTERS]} is gone"
                yield Finding(kind="test-deleted", path=change.path, detail=detail)


def test_names(path: str, content: bytes | None) -> set[str]:
    """Return the names of the tests that the text of a file declares."""
    pattern = _RUST_TEST if path.endswith(".rs") else _TEST
    text = (content or b"").decode(errors="replace")
    return {next(filter(None, found.groups())) for found in pattern.finditer(text)}
