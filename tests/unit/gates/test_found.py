"""`orchestrator.gates.detectors`: each form of a declared check is found, no comment is one."""

from __future__ import annotations

import json

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_packages import (
    FUNCTION,
    PYPROJECT,
    UNITTEST,
    named,
    package,
    steps,
    units,
)
from tests.unit.gates.test_plan import plan_of

TESTED = {"tests/test_a.py": UNITTEST}
PYTEST = "python3 -m pytest"
AUTOTOOLS = "autoreconf -fi && ./configure && make && make check"
MANAGE = "import sys\nfrom django.core.management import execute_from_command_line\n"
DJANGO = "from django.test import TestCase\nclass T(TestCase):\n    def test(self): pass\n"
TOX4 = 'env_list = ["py"]\n[env_run_base]\ncommands = [["./run", "x"]]\n'


@pytest.mark.parametrize(
    ("files", "command"),
    [
        # tox, in each of its files.
        ({"tox.toml": TOX4}, "tox run -e py"),
        ({"tox.toml": TOX4.replace('"./run"', '"pytest"')}, PYTEST),
        ({"tox.toml": f"{TOX4}deps = ['pytest']\n"}, PYTEST),
        ({"pyproject.toml": "[tool.tox.env_run_base]\ncommands = [['./run']]"}, "tox run -e py"),
        (
            {"pyproject.toml": "[tool.tox]\nlegacy_tox_ini = '''\n[testenv]\ncommands=./run\n'''"},
            "tox run -e py",
        ),
        ({"setup.cfg": "[tox:tox]\nenvlist=py\n[testenv:unit]\ncommands=./x"}, "tox run -e unit"),
        # nox, with its decorator imported, and with one that says more.
        ({"noxfile.py": "@session\ndef test(s):\n s.install('.')\n s.run('./x')\n"}, "nox -s test"),
        (
            {"noxfile.py": "@nox.session(python='3', name='tests')\ndef t(s):\n s.run('./x')\n"},
            "nox -s tests",
        ),
        ({"Pipfile": "[dev-packages]\npytest = '*'\n", **TESTED}, PYTEST),
        # A folder of tests with requirements of its own is no project.
        ({"setup.py": "", "tests/requirements.txt": "pytest", **TESTED}, PYTEST),
        # Tests of Django need its settings.
        ({"manage.py": MANAGE, "app/tests.py": DJANGO}, "python3 manage.py test"),
        ({"manage.py": MANAGE, "app/tests/test_a.py": DJANGO}, "python3 manage.py test"),
        ({"manage.py": MANAGE, "app/test_a.py": DJANGO}, "python3 manage.py test"),
        ({"manage.py": MANAGE, "app/tests/tests_of_a.py": DJANGO}, "python3 manage.py test"),
        (
            {"manage.py": MANAGE, "requirements.txt": "pytest-django", "a/tests.py": ""},
            PYTEST,
        ),
        # automake, in a condition and in an included file.
        ({"configure.ac": "", "Makefile.am": "if X\n  TESTS += a\nendif\n"}, AUTOTOOLS),
        (
            {
                "configure.ac": "",
                "Makefile.am": "include $(srcdir)/tests/local.mk\n",
                "tests/local.mk": "TESTS = a\n",
            },
            AUTOTOOLS,
        ),
        ({"configure.ac": "", "Makefile.am": "check-local:\n\t./a\n"}, AUTOTOOLS),
        ({"configure.ac": "", "Makefile.am": "SUBDIRS = t\n", "t/Makefile.am": "TESTS = a\n"},
         AUTOTOOLS),
        # GNU's name for the tests is the second choice.
        ({"a.c": "", "Makefile": "test:\n\t./a\ncheck:\n\t./b\n"}, "make test"),
        ({"a.c": "", "Makefile": "lint:\n\t./a\ncheck:\n\t./b\n"}, "make check"),
        # Scripts whose names say that they are a part of the tests.
        (
            {"package.json": package(**{"test:api": "x", "test:web": "x", "test:watch": "x"})},
            "npm run --silent test:api && npm run --silent test:web",
        ),
        (
            {"package.json": package(**{"test:all": "npm run test:a", "test:a": "x"})},
            "npm run --silent test:all",
        ),
        # A pattern for files names no script.
        ({"package.json": package(**{"test": "mocha 't/**/*.js'", "test:unit": "x"})},
         "npm run --silent test && npm run --silent test:unit"),
        ({"package.json": package(**{"test-node": "x", "test:e2e": "x"})},
         "npm run --silent test-node"),
        # The package manager, by each way to name it.
        ({"package.json": package({"devEngines": {"packageManager": {"name": "pnpm"}}}, test="x")},
         "pnpm --silent run test"),
        ({"package.json": package({"devEngines": {"packageManager": [{"name": "bun"}]}}, test="x")},
         "bun run --silent test"),
        ({"package.json": package(test="x"), "bunfig.toml": ""}, "bun run --silent test"),
        ({"package.json": package(), "bun.lock": "", "a.test.ts": 'import {t} from "bun:test"\n'},
         "bun test"),
        ({"package.json": package(test="x"), "bun.lock": "",
          "a.test.ts": 'import {t} from "bun:test"\n'}, "bun run --silent test"),
    ],
)  # fmt: skip
def test_tests_are_seen(files, command):
    assert units(files) == {("", command)}


@pytest.mark.parametrize(
    ("files", "gate", "command"),
    [
        ({"tox.toml": TOX4 + '[env.lint]\ncommands = [["pylint", "x"]]\n'}, "lint",
         "tox run -e lint"),
        ({"tox.toml": TOX4 + '[env.type]\ncommands = [["zuban"]]\n'}, "typecheck",
         "tox run -e type"),
        ({"package.json": package(**{"test": "x", "test:lint": "eslint"})}, "lint",
         "npm run --silent test:lint"),
        ({"package.json": package(**{"test": "x", "check:format": "prettier -c ."})}, "lint",
         "npm run --silent check:format"),
        ({"manage.py": MANAGE, "a/tests.py": DJANGO, "requirements.txt": "coverage"}, "coverage",
         "coverage run manage.py test && coverage json -o coverage.json"),
        # coverage.py refuses `-a` where each run has a file of its own.
        ({"setup.cfg": "[coverage:run]\nparallel = true\n", "test_a.py": UNITTEST,
          "b/test_b.py": UNITTEST}, "coverage",
         ("coverage erase && coverage run -m unittest && coverage run -m unittest discover -s b"
          " && coverage combine && coverage json -o coverage.json")),
    ],
)  # fmt: skip
def test_other_gates_are_seen(files, gate, command):
    assert steps(plan_of(files, GateProfile.STANDARD), gate) == {("", command)}


@pytest.mark.parametrize(
    ("files", "gate"),
    [
        ({"tox.toml": "# pytest\n# [env_run_base]\n"}, "tests"),
        ({"Pipfile": "# pytest\n[packages]\n"}, "tests"),
        ({"configure.ac": "", "Makefile.am": "# TESTS = a\n#include tests/local.mk\n",
          "tests/local.mk": "TESTS = a\n"}, "tests"),
        ({"configure.ac": "", "Makefile.am": "EXTRA = TESTS\nTESTSUITE = x\n"}, "tests"),
        ({"configure.ac": "", "Makefile.am": "a:\n", "a.mk": "TESTS = a\n"}, "tests"),
        ({"configure.ac": "", "Makefile.in": "check:\n", "t/Makefile.am": "TESTS = a\n"}, "tests"),
        ({"a.go": "", "Makefile": "check:\n\t./a\n"}, "tests"),
        ({"a.c": "", "Makefile": "all:\n\tcc a.c\n"}, "tests"),
        ({"Makefile": "coverage:\n\t./run # coverage.json\n\t# lcov.info\n"}, "coverage"),
        ({"manage.py": "# execute_from_command_line\n", "app/tests.py": DJANGO}, "tests"),
        ({"package.json": package(), "bun.lock": "", "a.ts": "// import 'bun:test'\n"}, "tests"),
        ({"package.json": package(), "bun.lock": "", "a.test.ts": "// import 'bun:test'\n"},
         "tests"),
        ({"package.json": package(), "bun.lock": "", "setup.ts": 'import {t} from "bun:test"\n'},
         "tests"),
        ({"package.json": package(), "a.test.ts": 'import {t} from "bun:test"\n'}, "tests"),
        ({"package.json": package(**{"//test": "jest", "test:types": "tsd"})}, "tests"),
    ],
)  # fmt: skip
def test_a_comment_declares_nothing(files, gate):
    assert {command for _, command in steps(plan_of(files, GateProfile.STANDARD), gate)} == {None}


@pytest.mark.parametrize(
    "text", ["// #[test]\nfn a() {}", "/* #[test]\nfn a() {} */", "/// #[test]\nfn a() {}"]
)
def test_a_test_of_rust_in_a_comment_is_none(text):
    crate = '[package]\nname = "x"\nversion = "1.0.0"\n'
    files = {"go.mod": "", "a_test.go": "", "Cargo.toml": crate, "src/lib.rs": text}
    assert units(files) == {("", "go test -v ./...")}
    real = {**files, "src/lib.rs": f"{text}\n#[tokio::test]\nfn b() {{}}"}
    assert ("", "cargo test --workspace") in units(real)


def test_members_of_a_workspace_of_uv_are_judged_at_any_depth():
    member = '[project]\nname = "a"\n[dependency-groups]\ndev = ["pytest"]\n'
    files = {
        "pyproject.toml": "[tool.uv.workspace]\nmembers = ['libs/*/*']\nexclude = ['libs/b/old']\n",
        "libs/a/one/pyproject.toml": member,
        "libs/a/one/tests/test_a.py": FUNCTION,
        "libs/b/old/pyproject.toml": member,
        "libs/b/old/tests/test_a.py": FUNCTION,
        "examples/c/d/pyproject.toml": member,
        "examples/c/d/tests/test_a.py": FUNCTION,
    }
    assert units(files) == {("libs/a/one", PYTEST)}
    assert named(files) == {"libs/b/old", "examples/c/d"}


@pytest.mark.parametrize(
    ("files", "left_out"),
    [
        ({"pytest.ini": "[pytest]\ntestpaths = t ./u/test_c.py"}, {"other"}),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['t/', 'u']"}, {"other"}),
        # These are all folders, or may be.
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['.', 't']"}, set()),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['*']"}, set()),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ' '"}, set()),
    ],
)
def test_folders_outside_the_test_paths_of_pytest_are_named(files, left_out):
    tests = ("t/test_a.py", "t/deep/test_b.py", "u/test_c.py", "other/test_d.py")
    assert named({**files, **dict.fromkeys(tests, FUNCTION)}) == left_out


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pytest.ini": "[pytest]\npython_files = check_*.py\n"}, PYTEST),
        ({"pytest.ini": "[pytest]\naddopts = -q --doctest-modules\n"}, PYTEST),
        ({"setup.py": "", "tests/__init__.py": ""}, "python3 -m unittest"),
        ({"pytest.ini": "[pytest]\naddopts = -q\n"}, None),
    ],
)
def test_without_test_files_a_package_is_run_only_where_it_says_that_it_has_tests(files, command):
    files = {f"p/{path}": text for path, text in files.items()}
    own, left_out = ({("p", command)}, set()) if command else (set(), {"p"})
    files |= {"go.mod": "", "a_test.go": ""}
    assert units(files) == {("", "go test -v ./...")} | own
    assert named(files) == left_out


def test_the_modules_of_a_project_are_those_that_its_tests_must_not_find_elsewhere():
    paths = (
        *("a/__init__.py", "a/deep/__init__.py", "src/b/__init__.py", "src/c.py", "src/Makefile"),
        *("run.py", "docs/conf.py", "tests/__init__.py", "src/1e/__init__.py", "src/f/g.py"),
    )
    tools = {"requirements.txt": "coverage\nmypy\nruff\n"}
    plan = plan_of({**tools, **dict.fromkeys(paths, ""), **TESTED}, GateProfile.STANDARD)
    own = ("a", "b", "c")
    assert {gate.name: gate.imports for gate in plan.gates} == {
        "typecheck": (), "lint": (), "tests": own, "coverage": own,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "path", "blocks"),
    [
        ({"justfile": "test:\n  ./x\n"}, "justfile", False),
        ({"Taskfile.yml": "tasks:\n  test:\n    cmds: [x]\n"}, "Taskfile.yml", False),
        ({"mise.toml": "[tasks.test]\nrun = 'x'\n"}, "mise.toml", False),
        ({"test/a.bats": ""}, "test/a.bats", False),
        ({"Makefile.PL": "", "t/a.t": ""}, "Makefile.PL", True),
        ({"deno.jsonc": "", "a_test.ts": ""}, "deno.jsonc", True),
        ({"a.Tests/a.Tests.csproj": "", "a.Tests/T.cs": ""}, "a.Tests/a.Tests.csproj", True),
        ({"a.sln": "", "src/a.csproj": "", "src/A.cs": ""}, "a.sln", False),
        ({"a.sln": "", "src/a.csproj": "", "tests/A.cs": ""}, "a.sln", True),
        ({"a.gemspec": "", "Gemfile": "", "Rakefile": "", "lib/a.rb": ""}, "Gemfile", False),
        ({"Gemfile": "", "lib/a_test.rb": ""}, "Gemfile", True),
        ({"Gemfile": "", "spec/a.txt": ""}, "Gemfile", False),
        ({"meson.build": "", "tests/run.c": ""}, "meson.build", True),
        ({"Gemfile": "", "test/libs/bats/a.bats": ""}, "Gemfile", False),
        ({"MODULE.bazel": ""}, "MODULE.bazel", False),
        ({"package.json": package(**{"test": "npm run test:a", "test:a": "x", "test:b": "x"})},
         "package.json", False),
        ({"package.json": package(**{"test": "x", "test:watch": "x", "check:a": "x"})},
         "package.json", False),
    ],
)  # fmt: skip
def test_what_is_found_and_not_judged_is_named(files, path, blocks):
    files = {**TESTED, **files}
    entries = plan_of(files, GateProfile.MINIMAL).not_judged
    assert [(entry.path, entry.blocks) for entry in entries] == [(path, blocks)]


@pytest.mark.parametrize(
    ("files", "blocks"),
    [
        ({"pom.xml": "", "src/test/java/ATest.java": ""}, True),
        ({"pom.xml": "", "src/main/java/A.java": ""}, False),
        ({"svc/Gemfile": "", "svc/spec/a_spec.rb": ""}, True),
        ({"App.csproj": ""}, False),
        ({"Gemfile": "", "spec/a.rb": "", "Makefile": "test:\n\trake\n"}, False),
        # A package of Node that is published for Deno too.
        ({"deno.json": "", "a.test.ts": "", "package.json": package(test="vitest run")}, False),
        ({"w/deno.jsonc": "", "w/a.test.ts": "", "package.json": package(test="vitest")}, True),
        ({"deno.json": "", "a.test.ts": ""}, True),
        # Other checks of the same folder run no tests, and scripts of Node none of Ruby.
        ({"Gemfile": "", "spec/a.rb": "", "Makefile": "lint:\n\trubocop\n"}, True),
        ({"Gemfile": "", "spec/a.rb": "", "package.json": package(test="vitest")}, True),
    ],
)
def test_what_no_detector_knows_is_named_and_blocks_if_it_has_tests(files, blocks):
    plan = plan_of({"pyproject.toml": PYPROJECT, "test_a.py": FUNCTION, **files},
                   GateProfile.MINIMAL)  # fmt: skip
    assert len(plan.not_judged) == 1
    assert (("", None) in steps(plan)) is blocks


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Gemfile": "", "spec/a.rb": "", "Makefile": "test:\n\trake\n"}, "make test"),
        (
            {"deno.json": "", "a.test.ts": "", "package.json": package(test="vitest")},
            "the script test",
        ),
        # What does not block needs no exception.
        ({"justfile": "check:\n  ./x\n", "Makefile": "test:\n\t./t\n"}, ""),
    ],
)
def test_the_reason_names_the_command_that_may_run_the_tests(files, command):
    (entry,) = plan_of(files, GateProfile.MINIMAL).not_judged
    exception = entry.reason.partition(", unless ")[2]
    assert exception == (f"{command} of the same folder runs its tests" if command else "")


def test_a_package_without_tests_and_other_checks_is_named_for_each_gate():
    files = {
        "a/pyproject.toml": "[tool.pytest.ini_options]\n[tool.ruff]\n",
        "a/test_a.py": FUNCTION,
        "b/pyproject.toml": "[tool.pytest.ini_options]\n",
    }
    plan = plan_of(files, GateProfile.STANDARD)
    assert {(entry.path, entry.gate) for entry in plan.not_judged} == {
        ("b", "lint"), ("b", "tests"), ("b", "coverage"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text"),
    [("justfile", "test:\n  ./x\n"), ("Taskfile.yml", "  test:\n"), ("a.bats", "")],
)
def test_a_package_below_a_runner_or_tests_of_bats_is_named_too(path, text):
    files = {**TESTED, path: text, "svc/Gemfile": "", "svc/spec/a_spec.rb": ""}
    assert named(files) == {path, "svc/Gemfile"}


@pytest.mark.parametrize(
    "files",
    [
        {"justfile": "# test:\ntests_dir := 'x'\nbuild:\n  x\n"},
        {"Taskfile.yml": "tasks:\n  # test:\n  build:\n    cmds: [x]\n"},
        {"Makefile": "lint:\n\t./lint\n"},
        {"package.json": package(test="x", start="x")},
    ],
)
def test_a_runner_without_such_a_recipe_is_no_news(files):
    assert named({**TESTED, **files}) == set()


@pytest.mark.parametrize("value", [1, "x", [], {"packageManager": 3}, {"packageManager": [{}]}])
def test_malformed_engines_are_ignored_or_make_it_unreadable(value):
    files = {"package.json": json.dumps({"devEngines": value, "scripts": {"test": "x"}})}
    plan = plan_of(files, GateProfile.MINIMAL)
    assert steps(plan) in ({("", "npm run --silent test")}, {("", None)})
    assert steps(plan) != {("", None)} or plan.not_judged
