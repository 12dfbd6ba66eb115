"""The record of one run of a gate: how it ended, and which failures its output names. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from orchestrator.gates.checks._counts import Counts, count_tests
from orchestrator.gates.checks._said import plain_lines
from orchestrator.gates.outcomes import Outcome, Outcomes
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus

_HEADLINE_CHARACTERS = 300
#: A record with more different lines is not complete; the bound keeps stored records small.
_MOST_LINES = 20_000
#: A longer line is recorded as its digest, so that no expression reads it.
_LINE_CHARACTERS = 2000

#: A place in a file: `a.py:1:2`, `a.ts(1,2)`, or the indented `1:2` of eslint.
_POSITION = re.compile(r"(?:^|\s)[^\s:(]+(?::\d+(?::\d+)?\b|\(\d+,\d+\))|^\s+\d+:\d+\s")
_ARROW = re.compile(r"\s*-->\s")
#: The lines of source that ruff and rustc print below an arrow, or below a proposal.
_EXCERPT = re.compile(r"\s*\d*\s*(?:\||\.\.\.$|[-+]\s)|\s*$")
_PROPOSAL = re.compile(r"\s*(?:= )?(?:help|note):\s")
_ESLINT = re.compile(r"\s+\d+:\d+\s")
#: A figure that a gate compares with a threshold.
_THRESHOLD = re.compile(r"coverage|threshold|\d\s?%", re.IGNORECASE)
_MEASURED = re.compile(r"(\d+(?:\.\d+)?) % < ")

#: The lines of coverage.py and of pytest-cov for a minimum of their own.
_OWN_MINIMUM = re.compile(
    r"Coverage failure: total of (\d+(?:\.\d+)?) is less than fail-under"
    r"|(?:FAIL|ERROR:?) Required test coverage of .* Total coverage: (\d+(?:\.\d+)?)%"
)
_CLOCK = re.compile(r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?")
_DURATION = re.compile(r"(?<![\w.])\d+(?:\.\d+)?\s?(?:ns|µs|us|ms|s|secs?|seconds?|min)\b")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
_PLACES = re.compile(r":\d+(?::\d+)?\b|\(\d+,\d+\)|\bline \d+")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)*(?!\w)")
_PLURAL = re.compile(r"\b0 (\w{2,30})s\b")
_STACK = re.compile(r"\s+at |make(?:\[\d+\])?: \*\*\*")
_NUMBERED = re.compile(r"^(?:not ok \d+ - |\d+\) )")
#: The line with which a test runner names a failed test, or a threshold that is not reached.
_TEST_FAILED = re.compile(
    r"""
      (?:FAILED|ERROR)\s\S | (?:FAIL|ERROR):\s       # pytest, unittest
    | \s*(?:--- FAIL:|FAIL\s|panic:)                # go, jest, vitest
    | \s*(?:not\ ok\s|✖\s\S|×\s|✗\s|●\s|\d+\)\s\S)  # node --test, vitest, jest, mocha
    | test\s.*\.\.\.\sFAILED | Coverage\ failure:
    """,
    re.VERBOSE,
)


class RunRecord(BaseModel):
    """One run of one command of a gate, in the form in which two runs are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: GateStatus
    exit_code: int | None = None
    #: The first line of the result's detail.
    headline: str = ""
    #: The outcome of each test, if a recorder reported them.
    tests: dict[str, Outcome] | None = None
    has_ended: bool = True
    counts: Counts | None = None
    #: The lines of the output without numbers of lines, durations and paths of the checkout.
    lines: dict[str, int] = {}
    #: The lines that name a failed test, with the numbers of its name.
    failures: dict[str, int] = {}
    #: Whether the record contains the whole output.
    is_complete: bool = True

    @property
    def outcomes(self) -> Outcomes | None:
        """The outcomes of its tests; None if they are unknown."""
        return None if self.tests is None else Outcomes(self.tests, self.has_ended)

    @property
    def measured(self) -> float | None:
        """The coverage in percent that was under the minimum; None if nothing was measured.

        The minimum is that of the gate, or that of the tool itself if no test fails.
        """
        if self.exit_code == 0:
            match = _MEASURED.match(self.headline)
            return float(match[1]) if match else None
        if self.counts is None or self.counts.failed:
            return None
        found = filter(None, map(_OWN_MINIMUM.match, self.lines))
        figures = {float(match[1] or match[2]) for match in found}
        return figures.pop() if len(figures) == 1 else None


def make_record(
    result: GateResult, ended: Completed | None, outcomes: Outcomes | None, places: Sequence[str]
) -> RunRecord:
    """Return the record of a run; `places` are the folders of its checkout, the deepest first."""
    headline = (result.detail.splitlines() or [""])[0][:_HEADLINE_CHARACTERS]
    if ended is None:
        return RunRecord(
            status=result.status, exit_code=result.exit_code, headline=headline, is_complete=False
        )
    output = plain_lines(ended.stdout, ended.stderr, whole=True)
    text = tuple(_without(line, places) for line in output)
    lines = Counter(_compared_lines(text))
    failures = Counter(_failures(text))
    is_complete = not ended.truncated and len(lines) + len(failures) <= _MOST_LINES
    return RunRecord(
        status=result.status,
        exit_code=result.exit_code,
        headline=headline,
        tests=_tests(outcomes, places),
        has_ended=outcomes is None or outcomes.has_ended,
        counts=count_tests(output),
        lines=lines if is_complete else {},
        failures=failures if is_complete else {},
        is_complete=is_complete,
    )


def has_position(line: str) -> bool:
    """Return whether a recorded line names a place in a file."""
    return _POSITION.search(line) is not None and not _STACK.match(line)


def is_threshold(line: str) -> bool:
    """Return whether a recorded line may compare a figure with a threshold."""
    return _THRESHOLD.search(line) is not None


def is_own_minimum(line: str) -> bool:
    """Return whether a recorded line says that coverage is under the minimum of its tool."""
    return _OWN_MINIMUM.match(line) is not None


def _tests(outcomes: Outcomes | None, places: Sequence[str]) -> dict[str, Outcome] | None:
    if outcomes is None:
        return None
    return {_without(test, places): outcome for test, outcome in outcomes.tests.items()}


def _without(line: str, places: Sequence[str]) -> str:
    if len(line) > _LINE_CHARACTERS:
        return hashlib.sha256(line.encode()).hexdigest()
    for place in places:
        line = line.replace(f"{place}/", "").replace(place, ".")
    return line


def _compared_lines(lines: Iterable[str]) -> list[str]:
    """Return lines so that two runs on the same files give the same ones.

    eslint names the file once, above its findings; ruff and rustc name it below each finding. An
    excerpt of the source says nothing new.
    """
    found: list[str] = []
    file, in_excerpt = "", False
    for line in lines:
        if in_excerpt and _EXCERPT.match(line):
            continue
        is_arrow = _ARROW.match(line) is not None
        in_excerpt = is_arrow or _PROPOSAL.match(line) is not None
        if not line.strip():
            continue
        if is_arrow:
            # Its indentation depends on the number of the line.
            finding = found.pop() if found else ""
            found.append(f"{finding} {_placeless(line.strip())}")
        elif _ESLINT.match(line):
            found.append(f"{file}{_placeless(line)}")
        else:
            file = file if line[0].isspace() else line
            is_exact = has_position(line) or is_threshold(line)
            found.append(_placeless(line) if is_exact else _numberless(line))
    return found


def _placeless(line: str) -> str:
    return _PLACES.sub(":0", _ESLINT.sub(" 0:0 ", _timeless(line), count=1))


def _numberless(line: str) -> str:
    return _PLURAL.sub(r"0 \1", _NUMBER.sub("0", _timeless(line)))


def _timeless(line: str) -> str:
    return _DURATION.sub("0s", _ADDRESS.sub("0x0", _CLOCK.sub("0s", line)))


def _failures(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that name a failed test, without its reason, which may differ each time."""
    for line in lines:
        if _TEST_FAILED.match(line):
            name = _NUMBERED.sub("", line.strip())
            if name.startswith(("FAILED ", "ERROR ")):
                name = name.partition(" - ")[0]
            yield _placeless(name)
