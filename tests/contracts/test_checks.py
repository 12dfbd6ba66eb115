"""What every check keeps, whichever file brings it: only a command that ran well passes."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from orchestrator.gates.detection import BaseFiles
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.models import AgentType, GateResult, GateStatus, Stage
from orchestrator.plugins import Family
from orchestrator.sandboxes import process
from orchestrator.settings import load_settings

CHECKS = Family("orchestrator.gates.checks")
DETECTORS = Family("orchestrator.gates.detectors")
#: No other plug-in's start-up, and nothing left in the checkout.
PYTHON = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
#: The checks that judge a command; what another file brings may judge by other means.
BY_COMMAND = ("command", "tests", "coverage")
PASSED, FAILED, ERRORED = GateStatus.PASSED, GateStatus.FAILED, GateStatus.ERRORED
REPORT = '{"totals": {"num_statements": 4, "percent_covered": 90}}'
#: What each check needs beside exit 0.
EVIDENCE = f"echo 1 passed in 0.01s; echo '{REPORT}' >report.json; "


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def base_files(files: dict[str, str]) -> BaseFiles:
    encoded = {path: text.encode() for path, text in files.items()}
    return BaseFiles(encoded.get, encoded.keys())


def judge(check: str, command: str | None, checkout: Path, **gate) -> GateResult:
    """Judge a checkout by a command in a real process sandbox."""

    def run(argv, env, stdin, timeout_s) -> Completed:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"PATH": path, "HOME": str(checkout), **PYTHON, **env}
        spec = ProcessSpec("a-1", tuple(argv), given, checkout, stdin)
        # Where the pids that a command writes down are the host's.
        sandbox = process.build(load_settings({"ORCHESTRATOR_PROCESS_LEVEL": "shim"}))
        return run_to_end(sandbox, spec, timeout_s=timeout_s, output_limit_bytes=64 * 1024)

    subject = GateInput("a-1", AgentType.WORKER, checkout, ("x",), lambda: "", run)
    defaults = {"timeout_s": 60, "report": "report.json", "minimum": 85}
    stage = Stage.PRE_COMMIT
    planned = PlannedGate(name="g", stage=stage, command=command, **{**defaults, **gate})
    return CHECKS.build(check, None).evaluate(planned, subject)


@pytest.fixture(params=BY_COMMAND)
def judged(request, checkout):
    return partial(judge, request.param, checkout=checkout)


@pytest.mark.parametrize("name", CHECKS.names())
def test_it_says_what_it_is(name):
    assert importlib.import_module(f"{CHECKS.package}.{name}").__doc__


def test_a_command_that_ends_well_passes_with_its_evidence(judged):
    result = judged("printf '1 passed in 0.01s'; " + f"echo '{REPORT}' >report.json")
    digest = hashlib.sha256(b"1 passed in 0.01s").hexdigest()
    assert (result.status, result.exit_code, result.output_digest) == (PASSED, 0, digest)


def test_a_gate_without_a_command_is_missing(judged):
    result = judged(None, hint="add this")
    assert (result.status, result.detail) == (GateStatus.MISSING, "add this")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("echo no; exit 1", FAILED, "no"),
        ("no-such-tool --x", ERRORED, "needs a tool that is not installed: .*no-such-tool"),
        ("touch x; ./x", ERRORED, "needs a tool that is not installed: .*denied"),
        ("exit 127", ERRORED, "needs a tool that is not installed"),
        ("python3 -m no_such_tool", ERRORED, "not installed: .*No module named no_such_tool"),
        ("printf 'x:\\n\\tno-such-tool' >Makefile; make x", ERRORED, "not installed: make"),
        ("kill -KILL $$", ERRORED, "SIGKILL: .*memory"),
        ("sh -c 'kill -KILL $$'; exit $?", ERRORED, "SIGKILL: .*memory"),
        ("kill -SEGV $$", ERRORED, "SIGSEGV"),
        ("head -c 1000000000 /dev/zero", ERRORED, "printed more than is kept"),
        ("echo No module named x; echo end; exit 1", FAILED, "end"),
    ],
)
def test_whatever_goes_wrong_does_not_pass_and_says_what_happened(judged, command, status, said):
    result = judged(EVIDENCE + command)
    assert result.status is status
    assert re.search(said, result.detail)


def test_a_gate_that_hangs_is_ended(judged):
    result = judged(EVIDENCE + "sleep 1000", timeout_s=0.5)
    assert result.status is GateStatus.TIMED_OUT
    assert result.detail.startswith("not finished after 0.5 s")


def test_a_daemon_neither_holds_the_gate_nor_outlives_it(judged, checkout):
    result = judged(EVIDENCE + "setsid sleep 1000 & echo $! >pid")
    assert result.status is PASSED
    assert not Path("/proc", (checkout / "pid").read_text().strip()).exists()


def test_a_checkout_that_is_gone_is_a_result(judged, checkout):
    checkout.rmdir()
    assert judged("true").status is ERRORED


def test_the_detail_is_plain_text_of_limited_length(judged):
    says = r"printf '\033[31mFAILED red\033[0m \342\200\256 \000 \377\nFAILED <b>\n'; "
    result = judged(
        says + "yes 'FAILED again' | head -n 9 | cat -n; seq -f 'FAILED %g' 999; exit 1"
    )
    assert "FAILED red" in result.detail
    assert result.detail.replace("\n", "").isprintable()
    assert len(result.detail) <= 2000


TEST_FILES = {
    "good": "import unittest\nclass T(unittest.TestCase):\n def test(self): pass\n",
    "bad": "import unittest\nclass T(unittest.TestCase):\n def test(self): assert 1 == 2\n",
    "skipped": "import unittest\n@unittest.skip('x')\nclass T(unittest.TestCase):\n"
    " def test(self): pass\n",
    "empty": "",
    "xfailed": "import unittest\nclass T(unittest.TestCase):\n @unittest.expectedFailure\n"
    " def test(self): assert 0\n",
}


@pytest.mark.parametrize("tool", ["pytest -p no:cacheprovider", "unittest"])
@pytest.mark.parametrize(
    ("content", "status", "first"),
    [
        ("good", PASSED, "1 passed, 0 failed, 0 skipped"),
        ("bad", FAILED, "0 passed, 1 failed, 0 skipped"),
        ("skipped", FAILED, "no tests were run: 0 passed, 0 failed, 1 skipped"),
        ("xfailed", FAILED, "no tests were run: 0 passed, 0 failed, 1 skipped"),
        ("empty", FAILED, "no tests were run: 0 passed, 0 failed, 0 skipped"),
    ],
)
def test_real_python_tests_count_only_when_they_ran(checkout, tool, content, status, first):
    (checkout / "test_it.py").write_text(TEST_FILES[content])
    result = judge("tests", f"python3 -m {tool}", checkout)
    assert (result.status, result.detail.splitlines()[0]) == (status, first)
    if content == "bad":
        assert "AssertionError" in result.detail or "assert 1 == 2" in result.detail


CLASS_SKIPPED = """import unittest
class A(unittest.TestCase):
    def test(self): {body}
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("x")
    def test(self): pass
"""


@pytest.mark.parametrize("tool", ["unittest", "unittest -v", "pytest -p no:cacheprovider"])
@pytest.mark.parametrize(
    ("body", "status", "passed"), [("pass", PASSED, 1), ("self.skipTest('x')", FAILED, 0)]
)
def test_a_class_that_skips_itself_takes_no_other_test_with_it(
    checkout, tool, body, status, passed
):
    (checkout / "test_it.py").write_text(CLASS_SKIPPED.format(body=body))
    result = judge("tests", f"python3 -m {tool}", checkout)
    assert result.status is status
    assert f"{passed} passed, 0 failed, {2 - passed} skipped" in result.detail


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        ({"conftest.py": "import os\nos._exit(0)\n"}, ERRORED, "did not say how many"),
        ({"pytest.py": ""}, ERRORED, "did not say how many"),
        ({"conftest.py": "collect_ignore_glob = ['*']\n"}, FAILED, "no tests were run"),
        (
            {"conftest.py": "def pytest_collection_modifyitems(items): items.clear()\n"},
            FAILED,
            "no tests were run",
        ),
        ({"pytest.ini": "[pytest]\naddopts = -qq -k nothing\n"}, FAILED, "no tests were run"),
    ],
)
def test_a_tree_that_keeps_its_tests_from_running_does_not_pass(checkout, files, status, said):
    files = {"test_it.py": TEST_FILES["good"], **files}
    for name, content in files.items():
        (checkout / name).write_text(content)
    result = judge("tests", "python3 -m pytest -p no:cacheprovider", checkout)
    assert result.status is status
    assert said in result.detail


def test_a_failure_the_exit_code_hides_is_a_failure(checkout):
    (checkout / "test_it.py").write_text(TEST_FILES["bad"])
    result = judge("tests", "python3 -m unittest || true", checkout)
    assert (result.status, result.exit_code) == (FAILED, 0)


def test_a_runner_of_the_repositorys_own_is_judged_by_its_exit_code(checkout):
    assert judge("tests", "echo fine", checkout).status is PASSED


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("test('x', () => {})", PASSED),
        ("test('x', () => { throw new Error('boom') })", FAILED),
        ("test('x', {skip: true}, () => {})", FAILED),
    ],
)
def test_real_npm_test(checkout, content, status):
    (checkout / "package.json").write_text('{"scripts": {"test": "node --test a.test.js"}}')
    (checkout / "a.test.js").write_text(f"const {{test}} = require('node:test'); {content}")
    result = judge("tests", "npm run --silent test", checkout)
    assert result.status is status
    assert ("boom" in result.detail) == ("boom" in content)


@pytest.mark.parametrize("command", ["tox() { :; }; tox", "make() { echo; echo; }; make test"])
def test_tools_that_run_others_do_not_pass_when_these_say_nothing_at_all(checkout, command):
    result = judge("tests", command, checkout)
    assert result.status is ERRORED
    assert "did not say how many" in result.detail


def test_a_program_of_ones_own_may_be_silent(checkout):
    assert judge("tests", "true", checkout).status is PASSED


@pytest.mark.parametrize(
    ("detector", "base", "planted", "status"),
    [
        (
            "node",
            {"package.json": '{"scripts": {"test": "npm run unit", "unit": "node --test"}}'},
            {".npmrc": "script-shell=/bin/echo"},
            ERRORED,
        ),
        ("node", {"package.json": '{"scripts": {"test": "echo fine"}}'}, {}, PASSED),
        (
            "make",
            {"Makefile": "test: unit\n\n\ttrue\nunit:\n\t-python3 -m unittest -q\n"},
            {"GNUmakefile": "test:\n\t@echo fine\n"},
            ERRORED,
        ),
        ("make", {"Makefile": "lint:\n\tpytest\ntest:\n\t@echo fine\n"}, {}, PASSED),
    ],
)
def test_a_runner_the_base_names_in_a_script_must_say_how_many(
    checkout, detector, base, planted, status
):
    program = {"node": "npm", "make": "make"}[detector]
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    gate = DETECTORS.build(detector, None).detect(base_files(base)).commands["tests"]
    for path, text in {**base, **planted}.items():
        (checkout / path).write_text(text)
    result = judge("tests", gate.command, checkout, script=gate.script)
    assert result.status is status


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("ruff check --isolated --select F .", "F401"),
        ("mypy --config-file= --no-incremental .", "assignment"),
    ],
)
def test_real_linters_name_the_first_fault_first(checkout, command, named):
    (checkout / "a.py").write_text("import os\n\nx: int = ''\n")
    result = judge("command", command, checkout)
    assert result.status is FAILED
    assert named in result.detail.splitlines()[1]


@pytest.mark.parametrize(
    ("percent", "status", "detail"),
    [
        (85, PASSED, "85 % ≥ 85 %"),
        (84.96, FAILED, "84.9 % < 85 %"),
        (81.25, FAILED, "81.2 % < 85 %"),
    ],
)
def test_coverage_is_what_the_report_says(checkout, percent, status, detail):
    report = json.dumps({"totals": {"num_statements": 4, "percent_covered": percent}})
    result = judge("coverage", f"echo TOTAL 100%; echo '{report}' >report.json", checkout)
    assert (result.status, result.detail.splitlines()[0]) == (status, detail)


@pytest.mark.parametrize(
    ("command", "report", "said"),
    [
        ("echo TOTAL 100%", "report.json", "was not written"),
        ("echo TOTAL 100% >report.json", "report.json", "known format"),
        ("ln -s ../outside.json report.json", "report.json", "inside the checkout"),
        ("ln -s .. r", "r/outside.json", "inside the checkout"),
        ("mkfifo report.json", "report.json", "not a regular file"),
        ("mkdir report.json", "report.json", "not a regular file"),
        ("truncate -s 65M report.json", "report.json", "too large"),
        (
            "cd ..; mv checkout x; mkdir checkout; cp *.json checkout/report.json",
            "report.json",
            "not written",
        ),
    ],
)
def test_only_a_file_written_inside_the_checkout_is_a_report(checkout, command, report, said):
    (checkout.parent / "outside.json").write_text(REPORT)
    result = judge("coverage", command, checkout, report=report)
    assert result.status is ERRORED
    assert said in result.detail


@pytest.mark.parametrize("make", ["echo '{}' >report.json", "ln -s /etc/passwd report.json"])
def test_a_report_that_came_with_the_tree_is_not_read(checkout, make):
    subprocess.run(["sh", "-c", make], cwd=checkout, check=True)
    result = judge("coverage", "touch ran", checkout)
    assert result.status is ERRORED
    assert "must be this run's own" in result.detail
    assert not (checkout / "ran").exists()


RUN_CODE = "import unittest, shop\nclass T(unittest.TestCase):\n def test(self): shop.once()\n"
CODE = "def once():\n" + " x = 1\n" + "def never():\n" + " x = 1\n" * 9


@pytest.mark.parametrize(
    ("settings", "plant"),
    [
        ("[run]\nparallel = true\n", "cp {data} .coverage.planted"),
        ("[run]\nparallel = true\n", "ln -s {data} .coverage.planted"),
        ("[run]\nparallel = true\ndata_file = kept/data\n", "cp {data} kept/data.planted"),
    ],
)
def test_the_data_of_another_run_is_not_added_to_this_ones(checkout, settings, plant):
    files = {"shop.py": CODE, "test_it.py": RUN_CODE, ".coveragerc": settings}
    for path, text in files.items():
        (checkout / path).write_text(text)
    (checkout / "kept").mkdir()
    data = checkout.parent / "planted"
    forged = (
        "from coverage import CoverageData; data = CoverageData('{}');"
        " data.add_lines({{'{}': range(1, 99)}}); data.write()"
    )
    code = forged.format(data, checkout / "shop.py")
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run(["sh", "-c", plant.format(data=data)], cwd=checkout, check=True)
    base = {".coveragerc": settings, "tests/__init__.py": ""}
    gate = DETECTORS.build("python", None).detect(base_files(base)).commands["coverage"]
    command = gate.command.replace("coverage ", "python3 -m coverage ")
    result = judge("coverage", command, checkout, report=gate.report)
    assert (result.status, result.exit_code) == (FAILED, 0), result.detail


@pytest.mark.parametrize(
    "path", [".coverage", "a/.coverage.x", ".nyc_output/x.json", "coverage/tmp/x.json"]
)
@pytest.mark.parametrize("make", ["touch {path}", "ln -s / {path}"])
def test_raw_data_in_the_tree_is_gone_before_the_command_runs(checkout, path, make):
    place = checkout / path
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["sh", "-c", make.format(path=path)], cwd=checkout, check=True)
    (checkout / ".coveragerc").touch()
    (checkout / "coverage-tool").mkdir()
    result = judge("coverage", f"echo '{REPORT}' >report.json; ls -A . *", checkout)
    assert result.status is PASSED, result.detail
    assert not place.is_symlink()
    assert not place.exists()
    assert {".coveragerc", "coverage-tool"} <= {entry.name for entry in checkout.iterdir()}


def test_a_link_in_place_of_the_folder_of_raw_data_is_gone_too(checkout):
    kept = checkout / "src" / "x.json"
    kept.parent.mkdir()
    kept.touch()
    (checkout / ".nyc_output").symlink_to("src")
    assert judge("coverage", f"echo '{REPORT}' >report.json", checkout).status is PASSED
    assert not (checkout / ".nyc_output").is_symlink()
    assert kept.exists()


def test_coverage_without_a_report_to_read_does_not_pass(checkout):
    assert judge("coverage", "true", checkout, report=None).status is ERRORED
