"""The outcomes of tests by their names, and the comparison of two runs. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]

#: More tests than this are not compared one by one; the bound keeps the memory of a worker small.
MOST_TESTS = 500_000
_NAME_CHARACTERS = 200
_FILES = (".js", ".mjs", ".cjs", ".ts")
_PARAMETERS = re.compile(r"\[.*\]$", re.DOTALL)
#: The end of a test, or of the package whose tests ended before.
_GO_END = re.compile(
    r"^\s*(?:.*\S)?--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)$|^(?:ok|FAIL)[ \t]+(\S+)[ \t]+\S.*$",
    re.MULTILINE,
)
_GO: Mapping[str, Outcome] = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


@dataclass(frozen=True)
class Outcomes:
    """How each test of one run ended."""

    #: The outcome of each test, by the id that its runner gives it.
    tests: Mapping[str, Outcome]
    #: Whether each runner came to its end; a process that a test ends reports none.
    has_ended: bool = True

    @property
    def are_plain(self) -> bool:
        """Whether every test passed by its own name, and every runner came to its end.

        node:test reports a file by its path if the file ends before its first test.
        """
        is_file = any(test.endswith(_FILES) for test in self.tests)
        return self.has_ended and not is_file and set(self.tests.values()) <= {"passed"}

    def count(self, *outcomes: Outcome) -> Counter[str]:
        """Return how many tests of each name ended in one of these ways.

        The name has no file and no parameters, so a moved test and its cases keep it.
        """
        return Counter(name_of(test) for test, ended in self.tests.items() if ended in outcomes)


@dataclass(frozen=True)
class LostTest:
    """A test of the base that no longer checks the change, and how it is lost."""

    name: str
    test: str
    how: Literal["fails", "is skipped", "is no longer run"]


def name_of(test: str) -> str:
    """Return the class and function of a test's id, or the title that its author gave it."""
    path, separator, rest = _PARAMETERS.sub("", test).partition("::")
    if separator:
        return rest.replace("::", ".")
    # unittest: module.Class.method; other titles have blanks or no dots.
    parts = path.split(".")
    is_dotted = len(parts) > 2 and all(part.isidentifier() for part in parts)  # noqa: PLR2004
    return ".".join(parts[-2:]) if is_dotted else path


def recorded_outcomes(content: bytes) -> Outcomes | None:
    """Return the outcomes in a file of records; None if it has none. Other lines are ignored."""
    tests: dict[str, Outcome] = {}
    seen: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    for line in content.splitlines():
        record = _record(line)
        marks.update(mark for mark in ("start", "end") if record.get(mark) is True)
        test, outcome = record.get("test"), record.get("outcome")
        if not isinstance(test, str) or outcome not in {"passed", "failed", "skipped"}:
            continue
        if len(tests) >= MOST_TESTS:
            break
        key = test[: 2 * _NAME_CHARACTERS]
        if "::" in test or "." in test:
            # A later phase of the same test decides: its teardown, or its next try.
            tests[key] = outcome
        else:
            # node:test reports titles, which need not differ.
            seen[key] += 1
            tests[f"{key}[{seen[key]}]" if seen[key] > 1 else key] = outcome
    return Outcomes(tests, marks["end"] >= max(marks["start"], 1)) if tests else None


def _record(line: bytes) -> dict[str, object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def go_outcomes(output: bytes) -> Outcomes | None:
    """Return the outcomes that `go test -v` prints; None if it prints none.

    A test's id has the name of its package, because packages have tests of the same name.
    """
    tests: dict[str, Outcome] = {}
    ended: list[tuple[str, Outcome]] = []

    def close(package: str) -> None:
        for name, outcome in ended:
            test = f"{package}::{name}"
            # `-count=2` runs a test twice.
            tests[f"{test}[{len(tests)}]" if test in tests else test] = outcome
        ended.clear()

    for word, name, package in _GO_END.findall(output.decode(errors="replace"))[:MOST_TESTS]:
        if word:
            ended.append((name, _GO[word]))
        else:
            close(package)
    close("")
    return Outcomes(tests) if tests else None


def lost_tests(base: Outcomes, now: Outcomes, *, must_pass: bool) -> Iterator[LostTest]:
    """Yield each test name of the base that runs in fewer cases now.

    With `must_pass` a test that fails now is lost too: these are the base's own tests.
    """
    ran = base.count("passed", "failed")
    good = now.count("passed") if must_pass else now.count("passed", "failed")
    failed, skipped = now.count("failed"), now.count("skipped")
    ids = {name_of(test): test for test in base.tests}
    for name in sorted(ran):
        if good[name] >= ran[name]:
            continue
        how: Literal["fails", "is skipped", "is no longer run"] = "is no longer run"
        if must_pass and failed[name]:
            how = "fails"
        elif skipped[name]:
            how = "is skipped"
        yield LostTest(name[:_NAME_CHARACTERS], ids[name], how)
