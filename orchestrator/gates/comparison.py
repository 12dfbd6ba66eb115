"""The comparison of a gate that fails on the base commit with its run on the change. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from orchestrator.gates.checks._said import gives_reason, names_failure
from orchestrator.gates.outcomes import Outcomes, lost_tests, name_of
from orchestrator.gates.run_record import RunRecord, has_position, is_own_minimum, is_threshold

#: Commands that end at their first failure, or do not print every failure: the rest is unknown.
_ENDS_EARLY = re.compile(
    r"(?<!\S)(?:-x|--exitfirst|--maxfail\S*|--?failfast|--fail-fast|--bail\S*)(?!\S)"
    r"|\bcargo\s+(?:\S+\s+)*?(?:test|nextest)\b(?!.*--no-fail-fast)"
    r"|\bgolangci-lint\b(?!.*--max-same-issues)"
)
#: The output of a tool that did not check everything.
_IS_CUT = re.compile(
    r"errors prevented further checking|too many errors|Traceback \(most recent call last\)"
    r"|^\s+at \S.*:\d+|Cannot find module|No module named",
    re.IGNORECASE,
)
#: A test runner that is started directly: nothing but its tests can fail.
_PLAIN = re.compile(
    r"(?:\w+=\S+ )*(?:python3? -m )?(?:pytest|unittest|go test|node (?:\S+ )*--test)\b[^;&|\n`$<>]*"
)
_OF_TESTS = frozenset({"tests", "names of failures"})
_GO_STARTS, _GO_FAILS = "=== RUN", re.compile(r"FAIL\s+\S+(?:\s+\[.*\])?")


@dataclass(frozen=True)
class Comparison:
    """The failures of a gate on a change, by whether the base had them."""

    #: The failures that the change adds.
    own: tuple[str, ...] = ()
    #: The failures that the base has too.
    before: tuple[str, ...] = ()
    #: What was compared: `tests`, `names of failures`, `lines`, `coverage`.
    by: str = ""
    #: Why the two cannot be compared; such a gate proves nothing.
    unknown: str = ""


def compare(
    command: str, looks: Sequence[RunRecord], now: RunRecord, may_edit: Sequence[str] = ()
) -> Comparison:
    """Compare a failed run on a change with the failed runs on its base.

    Only what failed in each run on the base counts as failed before. `may_edit` are patterns of
    paths whose tests the request allows to remove. Whatever is uncertain is `unknown`.
    """
    records = (*looks, now)
    if early := _ENDS_EARLY.search(command):
        return Comparison(unknown=f"`{early[0].strip()}` may end before the last failure is known")
    if not all(record.is_complete for record in records):
        return Comparison(unknown="the output is not complete")
    found = _compared(looks, now, may_edit)
    if found.unknown:
        return found
    if not found.own:
        found = _explained(command, found, looks, now)
    codes = {look.exit_code for look in looks}
    if now.exit_code not in codes and not found.unknown:
        shown = ", ".join(str(code) for code in sorted(codes, key=str))
        ended = f"it ends with exit code {now.exit_code}, on the base with {shown}"
        return replace(found, own=(*found.own, ended))
    return found


def _compared(looks: Sequence[RunRecord], now: RunRecord, may_edit: Sequence[str]) -> Comparison:
    if any(record.measured is not None for record in (*looks, now)):
        return _by_coverage(looks, now)
    base = looks[0]
    if base.outcomes is not None and any(look.outcomes is None for look in looks):
        return Comparison(unknown="the outcomes of its tests are not known in each run")
    if base.outcomes is not None:
        return _by_tests(looks, now, may_edit)
    return _by_names(looks, now) if base.counts is not None else _by_lines(looks, now)


def _explained(
    command: str, found: Comparison, looks: Sequence[RunRecord], now: RunRecord
) -> Comparison:
    """Return what was found if the failures of the base explain why the command fails."""
    if not found.before:
        return Comparison(unknown="it fails without a failure that the base has")
    # A command that measures coverage may fail by the minimum of its tool.
    is_of_tests = found.by in _OF_TESTS or (found.by == "coverage" and now.exit_code)
    if is_of_tests and (other := _other_failure(command, looks, now)):
        return Comparison(unknown=f"it runs more than tests, and prints another line: {other}")
    return found


def _by_coverage(looks: Sequence[RunRecord], now: RunRecord) -> Comparison:
    """Compare percentages; a run whose tests failed has none."""
    measured = [look.measured for look in looks if look.measured is not None]
    if now.measured is None and now.exit_code:
        return Comparison(own=(now.headline,), by="coverage")
    if now.measured is None or len(measured) < len(looks):
        return Comparison(unknown="the coverage of the base is not known")
    least = min(measured)
    if now.measured < least:
        fault = f"coverage fell from {least:g} % to {now.measured:g} %"
        return Comparison(own=(fault,), by="coverage")
    return Comparison(before=(f"coverage was {least:g} %",), by="coverage")


def _by_tests(looks: Sequence[RunRecord], now: RunRecord, may_edit: Sequence[str]) -> Comparison:
    bases = [look.outcomes for look in looks if look.outcomes]
    if not all(base.has_ended for base in bases):
        return Comparison(unknown="the runner ends before its last test on the base")
    if not all(base.count("passed") for base in bases):
        return Comparison(unknown="no test passes on the base, so that none judges the change")
    if now.outcomes is None:
        return Comparison(own=("no outcome of any test is known",), by="tests")
    is_go = any(line.startswith(_GO_STARTS) for line in looks[0].lines)
    failed, red = _failed(now.outcomes), _common(map(_failed, bases))
    mixed = [key for key in failed if key in red and _is_mixed(key, bases)]
    if mixed:
        return Comparison(unknown=f"several tests are named {mixed[0]}, and only some fail")
    own = [key for key in failed if failed[key] > red[key]]
    own += _lost(bases[0], now.outcomes, may_edit)
    if not now.outcomes.has_ended:
        own.append("the runner was ended before its last test")
    own += _go_faults(looks, now) if is_go else _unexplained(looks, now)
    return Comparison(tuple(own), tuple(key for key in failed if key in red), by="tests")


def _key(test: str) -> str:
    """Return what identifies a test: its id, or its title where the runner knows no ids."""
    return test if "::" in test or "." in name_of(test) else name_of(test)


def _failed(outcomes: Outcomes) -> Counter[str]:
    return Counter(_key(test) for test, ended in outcomes.tests.items() if ended == "failed")


def _is_mixed(key: str, bases: Iterable[Outcomes]) -> bool:
    """Return whether tests of one title end differently: then it is not known which one fails."""
    return any(
        len({ended for test, ended in base.tests.items() if _key(test) == key}) > 1
        for base in bases
    )


def _common(counters: Iterable[Counter[str]]) -> Counter[str]:
    first, *rest = counters
    for other in rest:
        first &= other
    return first


def _lost(base: Outcomes, now: Outcomes, may_edit: Sequence[str]) -> Iterator[str]:
    for lost in lost_tests(base, now, must_pass=False):
        path = lost.test.partition("::")[0]
        if not any(fnmatchcase(path, pattern) for pattern in may_edit):
            yield f"{lost.name}, which ran on the base, {lost.how}"


def _unexplained(looks: Sequence[RunRecord], now: RunRecord) -> Iterator[str]:
    """Yield failures that the runner counts and no test explains, such as of a whole file."""
    numbers = [_unexplained_number(record) for record in (*looks, now)]
    if numbers[-1] == 0:
        return
    yield from _added_names(looks, now)
    known = [number for number in numbers[:-1] if number is not None]
    is_named = bool(now.failures)
    if numbers[-1] is not None and (numbers[-1] > min(known, default=0) or not is_named):
        yield f"the runner counts {numbers[-1]} failures that belong to no test"


def _unexplained_number(record: RunRecord) -> int | None:
    if record.counts is None or record.outcomes is None:
        return None
    return max(record.counts.failed - _failed(record.outcomes).total(), 0)


def _other_failure(command: str, looks: Sequence[RunRecord], now: RunRecord) -> str:
    """Return a new line of a command that runs more than tests; empty if there is none."""
    if _PLAIN.fullmatch(command.strip()):
        return ""
    added = Counter(now.lines) - _common(Counter(look.lines) for look in looks)
    return next((ln for ln in added if _is_failure(ln) and not is_own_minimum(ln)), "")


def _go_faults(looks: Sequence[RunRecord], now: RunRecord) -> Iterator[str]:
    """Yield the packages that fail now only; a package may fail without a failed test."""
    before = _common(Counter(filter(_GO_FAILS.match, look.lines)) for look in looks)
    packages = {_go_package(line) for line in before}
    for line in now.lines:
        is_new = _GO_FAILS.match(line) and _go_package(line) not in packages
        if is_new or line.startswith("panic:"):
            yield line


def _go_package(line: str) -> str:
    # `[build failed]` differs from a failed test.
    words = line.split()
    return " ".join([*words[:2], *[word for word in words[2:] if word.startswith("[")]])


def _by_names(looks: Sequence[RunRecord], now: RunRecord) -> Comparison:
    """Compare the failures that a test runner names, and the numbers that it prints."""
    counts = [look.counts for look in looks if look.counts]
    if len(counts) < len(looks) or not all(count.passed for count in counts):
        return Comparison(unknown="no test passes on the base, so that none judges the change")
    if now.counts is None:
        return Comparison(own=("it does not print how many tests ran",), by="names of failures")
    for record in (*looks, now):
        if record.counts and len(record.failures) < record.counts.failed:
            return Comparison(unknown="the runner counts more failures than it names")
    own = list(_added_names(looks, now))
    if figures := [name for name in own if is_threshold(name)]:
        return Comparison(unknown=f"a figure differs: {figures[0]}")
    was, ran = max(count.failed for count in counts), min(count.ran for count in counts)
    if now.counts.failed > was:
        own.append(f"{now.counts.failed} tests fail, and {was} on the base")
    if now.counts.ran < ran:
        own.append(f"{now.counts.ran} tests ran, and {ran} on the base")
    if not own and not now.failures:
        return Comparison(unknown="no failed test is named")
    before = tuple(name for name in now.failures if name not in own)
    return Comparison(tuple(own), before, by="names of failures")


def _added_names(looks: Sequence[RunRecord], now: RunRecord) -> Iterator[str]:
    before = _common(Counter(look.failures) for look in looks)
    yield from (name for name in now.failures if name not in before)


def _by_lines(looks: Sequence[RunRecord], now: RunRecord) -> Comparison:
    """Compare the lines of a tool that names the place of each failure."""
    before = _common(Counter(look.lines) for look in looks)
    if not any(map(has_position, before)):
        return Comparison(unknown="its output on the base names no place in a file")
    if cut := next(filter(_IS_CUT.search, before), ""):
        return Comparison(unknown=f"it does not check everything on the base: {cut.strip()}")
    added = Counter(now.lines) - before
    own = tuple(line for line in added if _is_failure(line))
    if not own and added:
        return Comparison(unknown=f"its output differs, and names no failure: {next(iter(added))}")
    return Comparison(own, _failures_of(now.lines, own), by="lines")


def _is_failure(line: str) -> bool:
    is_named = has_position(line) or names_failure(line) or gives_reason(line)
    return is_named or _IS_CUT.search(line) is not None


def _failures_of(lines: Mapping[str, int], own: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if has_position(line) and line not in own)
