"""Runs the tests of one target once a mutant, each time in a fork of a process that collected them.

`python -m tests.mutants.forked [--reach FILE]… TEST…` runs in a copy of the sources. Each line of
its input is the path of a file with a fault and the first and last line of the fault, or empty for
none. It answers with a line: how the tests ended, and the test that noticed. For a file of
`--reach`, only those modules of tests run that reach the lines in their own process.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import pytest

from orchestrator.secretscan import engine
from orchestrator.store import scripts

_PYTEST = (
    *("-q", "-s", "-p", "no:cacheprovider", "--no-header", "--tb=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
#: A run without a fault may take this long; with one, some times as long as that run.
_FIRST_S, _TIMES, _AND_S = 3600.0, 3.0, 30.0
#: The tests that noticed the newest faults run first.
_REMEMBERED = 6
_REACHED = Path(".reached")
_ENDS = {0: "survived", 1: "noticed", 3: "unloaded"}
#: The exit code of a fork that cannot judge the fault: it needs a process of its own.
_UNLOADED = 3


class Forks:
    """A plugin that runs the collected tests once a line of the input."""

    def __init__(self, answers: int, reach: list[str]) -> None:
        self._answers = answers
        self._reach = [str(Path(file).resolve()) for file in reach]
        self._reached = coverage.CoverageData(no_disk=True)
        self._limit_s = _FIRST_S
        self._noticing: deque[str] = deque(maxlen=_REMEMBERED)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer each line of the input."""
        if session.testsfailed:
            os.write(self._answers, b"uncollected\n")
            return True
        for line in sys.stdin:
            began = time.monotonic()
            answer = self._forked(session, *line.split())
            if not line.strip():
                self._limit_s = _AND_S + _TIMES * (time.monotonic() - began)
                if self._reach:
                    self._reached.loads(_REACHED.read_bytes())
            os.write(self._answers, f"{answer}\n".encode())
        return True

    def _forked(self, session: pytest.Session, faulty: str = "", *lines: str) -> str:
        """Run the tests in a fork; return how they ended and what noticed."""
        items = self._chosen(session.items, str(Path(faulty).resolve()), *map(int, lines))
        noticed_read, noticed_write = os.pipe()
        if (pid := os.fork()) == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            if faulty:
                os._exit(_run_with(Path(faulty).resolve(), session, items, noticed_write))
            os._exit(self._run_all(session, noticed_write))
        os.close(noticed_write)
        end = self._end_of(pid)
        with os.fdopen(noticed_read) as told:
            noticing = told.read()
        if noticing:
            with suppress(ValueError):
                self._noticing.remove(noticing)
            self._noticing.appendleft(noticing)
        return f"{end} {noticing}".strip()

    def _end_of(self, pid: int) -> str:
        """Wait for a fork, and end its processes."""
        until, status = time.monotonic() + self._limit_s, None
        while status is None and time.monotonic() < until:
            ended, found = os.waitpid(pid, os.WNOHANG)
            if ended:
                status = found
            else:
                time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        if status is None:
            os.waitpid(pid, 0)
            return "endless"
        return _ENDS.get(os.waitstatus_to_exitcode(status), "broken")

    def _chosen(
        self, items: list[pytest.Item], file: str, first: int = 0, last: int = 0
    ) -> list[pytest.Item]:
        """Return the tests for a fault, those that noticed the newest faults first."""
        newest = list(self._noticing)
        order = {name: at for at, name in enumerate(newest)}
        items = sorted(items, key=lambda item: order.get(item.nodeid, len(newest)))
        if file not in self._reach:
            return items
        reached = self._reached.contexts_by_lineno(file)
        # A module, because a fixture of it may run once for all of its tests.
        modules = {by for line in range(first, last + 1) for by in reached.get(line, ())}
        return [item for item in items if str(item.path) in modules]

    def _run_all(self, session: pytest.Session, noticed: int) -> int:
        """Run all tests without a fault, and store which lines each module reaches."""
        if not self._reach:
            return _run(session, session.items, noticed)
        measured = coverage.Coverage(data_file=None, include=self._reach, config_file=False)
        measured.start()
        code = _run(session, session.items, noticed, measured)
        measured.stop()
        _REACHED.write_bytes(measured.get_data().dumps())
        return code


def _run(
    session: pytest.Session,
    items: list[pytest.Item],
    noticed: int,
    measured: coverage.Coverage | None = None,
) -> int:
    """Run tests until one fails; return the fork's exit code."""
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            if measured:
                measured.switch_context(str(item.path))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                os.write(noticed, item.nodeid.encode())
                session._setupstate.teardown_exact(None)
                return 1
    except BaseException:
        if not session.testsfailed:
            raise
        return 1
    return 0


def _run_with(file: Path, session: pytest.Session, items: list[pytest.Item], noticed: int) -> int:
    """Run tests with the fault of a file; return the fork's exit code."""
    if not items:
        # Nothing reaches it here; a process that a test starts may.
        return _UNLOADED
    try:
        put_in(file)
    except ValueError:
        return _UNLOADED
    return _run(session, items, noticed)


def put_in(file: Path) -> None:
    """Let this process, which has loaded a file, behave as the file says now.

    Raises:
        ValueError: the fault is outside of any function, or changes the variables of one.
    """
    if file.suffix == ".lua":
        scripts.script.cache_clear()
    if file.suffix != ".py":
        return
    now = _functions(compile(file.read_text(encoding="utf-8"), str(file), "exec"))
    loaded = [
        one
        for one in gc.get_objects()
        if isinstance(one, FunctionType) and one.__code__.co_filename == str(file)
    ]
    changed = [one for one in loaded if now.get(_place(one.__code__), one.__code__) != one.__code__]
    for one in changed:
        one.__code__ = now[_place(one.__code__)]
    if loaded and not changed:
        msg = f"No function of {file.name} has the fault."
        raise ValueError(msg)


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _functions(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Return the code of each function of a module."""
    found = {}
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found[_place(each)] = each
            found.update(_functions(each))
    return found


def main() -> None:
    """Collect tests, and run them once a line of the input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reach", action="append", default=[])
    options, tests = parser.parse_known_args()
    if any("secretscan" in test for test in tests):
        engine._loaded()
    answers = os.dup(1)
    for shown in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), shown)
    sys.exit(pytest.main([*_PYTEST, *tests], plugins=[Forks(answers, options.reach)]))


if __name__ == "__main__":
    main()
