"""The recorders in real runners: every test is recorded once, and no run changes its result."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.gates.outcomes import Outcomes
from orchestrator.gates.reporters import Recorder
from tests.gate_tools import tools_python

PYTHON = str(tools_python())

KINDS = """\
import sys
import unittest

import pytest

def test_good(): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail(strict=False)
def test_expected(): assert False
@pytest.fixture
def broken():
    yield
    raise ValueError
def test_teardown(broken): pass
def test_bad(): assert False
class TestOld(unittest.TestCase):
    def test_old(self):
        with self.subTest(1):
            pass
    def test_skips(self): self.skipTest("")
def test_nested(pytester):
    pytester.makepyfile("def test_inner(): pass")
    assert pytester.runpytest_inprocess().ret == 0
    assert pytester.runpytest_subprocess().ret == 0
    pytester.run(sys.executable, "-E", "-m", "pytest")
"""
RECORDED = {
    "test_good": "passed",
    "test_skipped": "skipped",
    "test_expected": "skipped",
    "test_teardown": "failed",
    "test_bad": "failed",
    "TestOld.test_old": "passed",
    "TestOld.test_skips": "skipped",
    "test_nested": "passed",
}


class Runs:
    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree of it"
        self.tree.mkdir()
        self.recorder = Recorder.install(folder / "out comes")

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        whole = self.recorder.environment({"PATH": os.environ["PATH"], **env})
        ended = subprocess.run(
            argv, cwd=self.tree, env=whole, capture_output=True, timeout=300, check=False
        )
        self.output = ended.stdout + ended.stderr
        return ended

    def outcomes(self) -> Outcomes | None:
        return self.recorder.outcomes(self.output)

    def names(self) -> dict[str, str]:
        found = self.outcomes()
        assert found is not None, self.output.decode()
        return {name: how for how in ("passed", "failed", "skipped") for name in found.count(how)}


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


@pytest.mark.parametrize("options", [[], ["-n", "2"], ["-q", "-p", "no:cacheprovider"]])
def test_pytest_records_each_test_once_with_workers_too(runs, options):
    (runs.tree / "test_kinds.py").write_text(KINDS)
    # A warning of pytest about a plugin of ours would be an error here.
    (runs.tree / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\naddopts = -p pytester\n"
    )
    runs.run(PYTHON, "-m", "pytest", *options)
    assert runs.names() == RECORDED
    assert runs.outcomes().has_ended


def test_unittest_records_each_test_once(runs):
    (runs.tree / "test_it.py").write_text(
        "import subprocess, sys, unittest\n\n\n"
        "class TestA(unittest.TestCase):\n"
        "    def test_good(self): pass\n"
        "    def test_bad(self): self.fail()\n"
        "    def test_subs(self):\n"
        "        for n in range(2):\n            with self.subTest(n): assert n\n"
        "    @unittest.expectedFailure\n    def test_expected(self): assert 0\n"
        "    @unittest.expectedFailure\n    def test_unexpected(self): pass\n"
        "    @unittest.skip('')\n    def test_skipped(self): pass\n"
        "    def test_nested(self):\n"
        "        class Inner(unittest.TestCase):\n            def test_inner(self): pass\n"
        "        Inner('test_inner').run()\n"
        '        code = \'import test_it, unittest; unittest.main(test_it, argv=["x", "TestB"])\'\n'
        "        subprocess.run([sys.executable, '-c', code], check=True)\n\n\n"
        "class TestB(unittest.TestCase):\n    def test_b(self): pass\n"
    )
    runs.run(PYTHON, "-m", "unittest")
    assert runs.names() == {
        "TestA.test_good": "passed",
        "TestA.test_bad": "failed",
        "TestA.test_subs": "failed",
        "TestA.test_expected": "skipped",
        "TestA.test_unexpected": "failed",
        "TestA.test_skipped": "skipped",
        "TestA.test_nested": "passed",
        "TestB.test_b": "passed",
    }
    assert runs.outcomes().has_ended


def test_two_runners_of_one_command_are_both_recorded(runs):
    (runs.tree / "test_a.py").write_text("def test_a(): pass\n")
    (runs.tree / "case_b.py").write_text(
        "import unittest\n\n\nclass TestB(unittest.TestCase):\n    def test_b(self): pass\n"
    )
    runs.run("/bin/sh", "-c", f"{PYTHON} -m pytest -q && {PYTHON} -m unittest case_b")
    assert runs.names() == {"test_a": "passed", "TestB.test_b": "passed"}


def test_a_process_that_a_test_ends_reports_no_end(runs):
    (runs.tree / "test_a.py").write_text(
        "import os\n\ndef test_a(): pass\ndef test_b(): os._exit(0)\n"
    )
    assert runs.run(PYTHON, "-m", "pytest").returncode == 0
    assert runs.names() == {"test_a": "passed"}
    assert not runs.outcomes().has_ended


@pytest.mark.parametrize("options", [["-I"], ["-E"]])
def test_a_python_that_ignores_the_environment_runs_as_ever(runs, options):
    (runs.tree / "test_a.py").write_text("def test_a(): pass\n")
    ended = runs.run(PYTHON, *options, "-m", "pytest", "test_a.py")
    assert ended.returncode == 0, ended
    assert runs.outcomes() is None


def test_the_tests_see_an_environment_without_the_recorders(runs):
    (runs.tree / "test_a.py").write_text(
        "import os\n\ndef test_a():\n"
        "    assert not {'ORCH_OUTCOMES', 'PYTEST_PLUGINS', 'PYTHONPATH'} & set(os.environ)\n"
    )
    assert runs.run(PYTHON, "-m", "pytest").returncode == 0, runs.output
    assert runs.run(PYTHON, "-m", "pytest", PYTHONPATH="x").returncode == 1


def test_the_sitecustomize_of_the_environment_still_runs(runs):
    own = runs.tree / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os\nos.environ['FROM_SITE'] = '1'\n")
    code = "import os; print(os.environ['FROM_SITE'])"
    assert runs.run(PYTHON, "-c", code, PYTHONPATH=str(own)).stdout == b"1\n"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node_records_each_test_and_prints_as_ever(runs):
    (runs.tree / "a.test.js").write_text(
        "const { test, describe, it } = require('node:test');\n"
        "const { execFileSync } = require('node:child_process');\n"
        "test('good', () => {});\ntest('skipped', { skip: 'x' }, () => {});\n"
        "test('to do', { todo: true }, () => {});\ntest('bad', () => { throw new Error(); });\n"
        "describe('group', () => { it('inner', () => {}); });\n"
        "test('nested', () => execFileSync(process.execPath, ['--test', 'b.js']));\n"
    )
    (runs.tree / "b.js").write_text("require('node:test')('b', () => {});\n")
    runs.run("node", "--test", "a.test.js")
    names = {"good": "passed", "skipped": "skipped", "to do": "skipped", "bad": "failed"}
    assert runs.names() == {**names, "inner": "passed", "nested": "passed"}
    assert b"\n# pass " in runs.output


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_a_node_that_refuses_the_recorder_is_known_as_such(runs):
    (runs.tree / "a.test.js").write_text("require('node:test')('a', () => {});\n")
    ended = runs.run("node", "--test", "--test-reporter=spec")
    assert runs.recorder.is_broken(ended.returncode, runs.output)
    ended = runs.run("node", "-e", "process.exit(1)")
    assert not runs.recorder.is_broken(ended.returncode, runs.output)
