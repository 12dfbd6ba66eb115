"""Runs the tests of one target once a mutant, each time in a fork of a process that collected them.

`python -m tests.mutants.forked TEST…` runs in a copy of the sources. Each line of its input is the
path of a file with a fault, or empty for none. It answers with a line: how the tests ended, and the
test that noticed.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from orchestrator.secretscan import engine
from orchestrator.store import scripts

_PYTEST = (
    *("-q", "-s", "-p", "no:cacheprovider", "--no-header", "--tb=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
#: A run without a fault may take this long; with one, some times as long as that run.
_FIRST_S, _TIMES, _AND_S = 900.0, 3.0, 30.0
#: The tests that noticed the newest faults run first.
_REMEMBERED = 6
_ENDS = {0: "survived", 1: "noticed", 3: "unloaded"}
#: The exit code of a fork that cannot have the fault: it needs a process of its own.
_UNLOADED = 3


class Forks:
    """A plugin that runs the collected tests once a line of the input."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
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
            answer = self._forked(session, line.strip())
            if not line.strip():
                self._limit_s = _AND_S + _TIMES * (time.monotonic() - began)
            os.write(self._answers, f"{answer}\n".encode())
        return True

    def _forked(self, session: pytest.Session, faulty: str) -> str:
        """Run the tests in a fork; return how they ended and what noticed."""
        noticed_read, noticed_write = os.pipe()
        if (pid := os.fork()) == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os._exit(self._run(session, faulty, noticed_write))
        os.close(noticed_write)
        end = self._end_of(pid)
        with os.fdopen(noticed_read) as lines:
            noticing = lines.read()
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

    def _run(self, session: pytest.Session, faulty: str, noticed: int) -> int:
        """Run the tests until one fails; return the fork's exit code."""
        try:
            put_in(Path(faulty).resolve())
        except ValueError:
            return _UNLOADED
        newest = list(self._noticing)
        order = {name: at for at, name in enumerate(newest)}
        items = sorted(session.items, key=lambda item: order.get(item.nodeid, len(newest)))
        try:
            for item, following in zip(items, [*items[1:], None], strict=True):
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


def main(tests: Sequence[str]) -> None:
    """Collect tests, and run them once a line of the input."""
    if any("secretscan" in test for test in tests):
        engine._loaded()
    answers = os.dup(1)
    for shown in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), shown)
    sys.exit(pytest.main([*_PYTEST, *tests], plugins=[Forks(answers)]))


if __name__ == "__main__":
    main(sys.argv[1:])
