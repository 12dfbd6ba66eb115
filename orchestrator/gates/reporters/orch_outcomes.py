"""Records the outcome of each test of pytest and unittest, inside the Python that a gate runs.

A gate loads this file by its folder on PYTHONPATH, so it imports nothing of the orchestrator and
runs on any Python. The file of the records is named in an environment variable, which is removed
as soon as a test runner starts: the processes that the tests start do not record anything.
PYTEST_DONT_REWRITE: pytest would warn that it cannot rewrite a module that is imported already.
"""

import json
import os
import sys
from types import ModuleType

VARIABLE = "ORCH_OUTCOMES"


class Records:
    """Appends records to the file, in the process that opened it only."""

    def __init__(self, path: str) -> None:
        """Open the file."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._process = os.getpid()
        # Tests replace functions of `os`, also while an outcome is recorded.
        self._write = os.write
        self._getpid = os.getpid

    def add(self, **record: object) -> None:
        """Append one record; a forked process adds none."""
        if self._getpid() == self._process:
            try:
                self._write(self._file, (json.dumps(record) + "\n").encode())
            except OSError:
                # A test closed the descriptor: the record of the end will be missing.
                self._process = -1


def claim() -> "Records | None":
    """Open the file of the records once; later calls, also in child processes, return None."""
    path = os.environ.pop(VARIABLE, None)
    if not path:
        return None
    _forget("PYTHONPATH", os.path.dirname(os.path.abspath(__file__)), os.pathsep)
    return Records(path)


def _forget(variable: str, part: str, separator: str) -> None:
    """Remove a part of a variable that this module or the gate has added."""
    parts = [each for each in os.environ.get(variable, "").split(separator) if each != part]
    os.environ[variable] = separator.join(parts)
    if not any(parts):
        del os.environ[variable]


class PytestOutcomes:
    """The plugin that pytest calls for each test."""

    def __init__(self, records: Records) -> None:
        """Record to this file that a runner starts."""
        self._records = records
        self._is_ended = False
        records.add(start=True)

    def pytest_keyboard_interrupt(self) -> None:
        """Notice that the session was ended before its last test, as by `pytest.exit()`."""
        self._is_ended = True

    def pytest_runtest_logreport(self, report: object) -> None:
        """Record how a phase of a test ended, if it decides the test."""
        outcome = getattr(report, "outcome", "")
        if outcome not in ("passed", "failed", "skipped"):
            return
        if getattr(report, "when", "") == "call" or outcome != "passed":
            if hasattr(report, "wasxfail"):
                outcome = "skipped"
            self._records.add(test=getattr(report, "nodeid", ""), outcome=outcome)

    def pytest_sessionfinish(self, session: object) -> None:
        """Record that the runner came to its end, unless it stopped at a failure (`-x`)."""
        stops = (getattr(session, name, False) for name in ("shouldstop", "shouldfail"))
        if not (self._is_ended or any(stops)):
            self._records.add(end=True)


_pytest_records = None


def pytest_configure(config: object) -> None:
    """Register the plugin; pytest calls this because PYTEST_PLUGINS names this module."""
    _forget("PYTEST_PLUGINS", __name__, ",")
    if _pytest_records is not None and not hasattr(config, "workerinput"):
        manager = getattr(config, "pluginmanager", None)
        if manager is not None:
            manager.register(PytestOutcomes(_pytest_records), "orch-outcomes")


def _started(records: "Records | None") -> "list[Records]":
    """Record that a runner starts; return the records, or nothing if there are none."""
    if records is None:
        return []
    records.add(start=True)
    return [records]


def _record_unittest(result: ModuleType) -> None:
    """Let the first result object of unittest record the tests that it is told of."""
    kind = result.TestResult
    #: The result object that is recorded.
    active: list[object] = []
    records: list[Records] = []

    def is_recorded(self: object) -> bool:
        if not active:
            active.append(self)
            records.extend(_started(claim()))
        return active[0] is self and bool(records)

    def follow(name: str, outcome: str) -> None:
        original = getattr(kind, name)

        def method(self: object, test: object, *rest: object) -> object:
            # A subtest without an error has passed; the test itself is recorded later.
            if is_recorded(self) and not (name == "addSubTest" and rest[-1] is None):
                told = rest[0] if name == "addSubTest" else test
                identity = getattr(test, "id", None) or getattr(told, "id", None)
                records[0].add(test=identity() if identity else str(test), outcome=outcome)
            return original(self, test, *rest)

        setattr(kind, name, method)

    for name, outcome in (
        ("addSuccess", "passed"),
        ("addFailure", "failed"),
        ("addError", "failed"),
        ("addSubTest", "failed"),
        ("addUnexpectedSuccess", "failed"),
        ("addSkip", "skipped"),
        ("addExpectedFailure", "skipped"),
    ):
        if hasattr(kind, name):
            follow(name, outcome)

    stop = kind.stopTestRun

    def stop_test_run(self: object) -> object:
        if active[:1] == [self] and records and not getattr(self, "shouldStop", False):
            records[0].add(end=True)
        return stop(self)

    kind.stopTestRun = stop_test_run


class Starts:
    """Notices, as the first finder of modules, that a test runner is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Prepare for a runner; the other finders find the module."""
        del path, target
        if name == "unittest.runner" and "unittest.result" in sys.modules:
            _record_unittest(sys.modules["unittest.result"])
        elif name == "_pytest.config" and VARIABLE in os.environ:
            global _pytest_records  # noqa: PLW0603 - the module is the plugin, it has no object
            _pytest_records = claim()
            plugins = [os.environ.get("PYTEST_PLUGINS", ""), __name__]
            os.environ["PYTEST_PLUGINS"] = ",".join(filter(None, plugins))


def install() -> None:
    """Notice from now on that a test runner starts in this process."""
    if VARIABLE in os.environ:
        sys.meta_path.insert(0, Starts())
