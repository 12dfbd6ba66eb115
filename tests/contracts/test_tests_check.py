"""A check of tests passes only if tests ran, whatever the tree brings."""

from __future__ import annotations

import shutil

import pytest

from tests.contracts.checks import DETECTORS, ERRORED, FAILED, PASSED, base_files, judge

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


def test_tests_of_an_installed_copy_do_not_pass(checkout):
    """The package of the repository is in a folder that the tests do not search first."""
    (checkout / "lib" / "pytest").mkdir(parents=True)
    (checkout / "test_it.py").write_text(TEST_FILES["good"])
    result = judge("tests", "python3 -m unittest", checkout, imports=("pytest",))
    assert result.status is ERRORED
    assert "import pytest from /" in result.detail


@pytest.mark.parametrize(
    ("command", "is_empty"),
    [
        ("python3 -m pytest -p no:cacheprovider -qq", True),
        ("python3 -m pytest --no-such-option", False),
        ("exit 5", False),
    ],
)
def test_only_pytest_says_by_its_exit_code_that_it_found_no_test(checkout, command, is_empty):
    result = judge("tests", command, checkout)
    assert result.status is FAILED
    assert ("no tests were run" in result.detail) == is_empty


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
