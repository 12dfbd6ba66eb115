"""The number of tests that ran, from the summaries that test tools print."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_WORDS = re.compile(r"(\d+) (passed|failed|skipped|ignored|todo|errors?|x?failed|xpassed)\b")
_UNITTEST_WORDS = re.compile(r"(failures|errors|skipped|expected failures)=(\d+)")

_NOTHING = re.compile(
    r"[= ]*no tests ran\b.*"  # pytest
    r"|NO TESTS RAN.*"  # unittest
    r"|\s*No test(?:s| files) found\b.*"  # jest, vitest
    r"|\s*Tests\s+no tests"  # vitest
    r"|\?\s+\S+\s+\[no test files\]"  # go
    r"|ok\s+\S+\s.*\[no tests to run\]"
)
_SUMMARY = re.compile(
    r"[= ]*\d+ [a-z].* in \d+(?:\.\d+)?s\b.*"  # pytest
    r"|\s*Tests:?\s+\d+ .*"  # jest, vitest
    r"|test result: .*"  # cargo
)
_UNITTEST_RAN = re.compile(r"Ran (\d+) tests? in .*")
#: A class or module that skips itself counts as skipped, but not as run.
_UNITTEST_PROGRESS = re.compile(r"^([.sux]+)\n-{70}\nRan (\d+) tests? in .*\n\nOK \(", re.MULTILINE)
_UNITTEST_SKIPPED_ALL = re.compile(r"^setUp(?:Class|Module) \(.*\) \.\.\. skipped ", re.MULTILINE)
_UNITTEST_ENDED = re.compile(r"(?:OK|FAILED|NO TESTS RAN) \((.*)\)")
_NODE = re.compile(r"(?:#|ℹ) (tests|pass|fail|cancelled|skipped|todo)\s+(\d+)")
_MOCHA = re.compile(r"\s*(\d+) (passing|failing|pending)\b.*")
_BUN = re.compile(r" *(\d+) (pass|fail|skip|todo)")
#: The last output of a test may precede it on the line; an indented line is part of another test.
_GO_TEST = re.compile(r"(?:.*\S)?--- (PASS|SKIP): \S+ \([\d.]+s\)")
_GO_VERBOSE = "=== RUN "
_GO = re.compile(r"(ok|FAIL)\s+\S+\s+(?:[\d.]+s|\(cached\)|\[.*\]).*")

#: The meaning of a tool's word. An expected failure proves nothing, so it does not count as run.
_MEANING = {
    "passed": "passed",
    "xpassed": "passed",
    "pass": "passed",
    "passing": "passed",
    "ok": "passed",
    "failed": "failed",
    "error": "failed",
    "errors": "failed",
    "failures": "failed",
    "fail": "failed",
    "failing": "failed",
    "cancelled": "failed",
    "FAIL": "failed",
    "PASS": "passed",
    "tests": "",
}


@dataclass(frozen=True)
class Counts:
    """Tests by how they ended; for Go packages, except for what passed or skipped under -v."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def ran(self) -> int:
        """The number of tests that checked the change."""
        return self.passed + self.failed

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_tests(lines: Iterable[str]) -> Counts | None:
    """Return the sum of all summaries in the output; None if there is none."""
    lines = tuple(lines)
    sums = {"passed": _uncounted(lines), "failed": 0, "skipped": 0}
    found = False
    is_verbose_go = any(line.startswith(_GO_VERBOSE) for line in lines)
    for line in lines:
        if is_verbose_go and line.startswith("ok "):
            continue
        if (counted := _counted(line)) is not None:
            found = True
            for word, number in counted:
                if meaning := _MEANING.get(word, "skipped"):
                    sums[meaning] += number
    return Counts(max(sums["passed"], 0), sums["failed"], sums["skipped"]) if found else None


def _uncounted(lines: Iterable[str]) -> int:
    """Return how many of unittest's skipped tests are not among the tests that it counts as run."""
    text = "\n".join(lines)
    progress = _UNITTEST_PROGRESS.findall(text)
    known = sum(max(len(signs) - int(ran), 0) for signs, ran in progress)
    return known + len(_UNITTEST_SKIPPED_ALL.findall(text))


def _counted(line: str) -> list[tuple[str, int]] | None:
    """Return a summary line's words and numbers; None if it is no summary."""
    for pattern, read in _SUMMARIES:
        if match := pattern.fullmatch(line):
            return read(match)
    return None


def _unittest(match: re.Match[str]) -> list[tuple[str, int]]:
    words = [(word, int(number)) for word, number in _UNITTEST_WORDS.findall(match[1])]
    # They are among the tests that it counts as run.
    return words + [("passed", -number) for _, number in words]


#: The first expression that matches a line reads it.
_SUMMARIES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], list[tuple[str, int]]]], ...] = (
    (_UNITTEST_ENDED, _unittest),
    (_UNITTEST_RAN, lambda match: [("passed", int(match[1]))]),
    (_NOTHING, lambda match: []),  # noqa: ARG005 - a reader takes its match
    (_NODE, lambda match: [(match[1], int(match[2]))]),
    (_MOCHA, lambda match: [(match[2], int(match[1]))]),
    (_BUN, lambda match: [(match[2], int(match[1]))]),
    (_GO_TEST, lambda match: [(match[1], 1)]),
    (_GO, lambda match: [(match[1], 1)]),
    (_SUMMARY, lambda match: [(word, int(n)) for n, word in _WORDS.findall(match[0])]),
)
