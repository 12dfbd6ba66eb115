"""The plan comes from the base commit's files, and what nobody can run is missing, not skipped."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import PlanInvalid
from orchestrator.gates.detectors import ordered
from orchestrator.gates.plan import Plan, chosen_profile, make_plan
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateProfile, Stage
from orchestrator.plugins import Family
from orchestrator.repo_config import RepoConfig

DETECTORS = Family("orchestrator.gates.detectors")
ALL = ("typecheck", "lint", "tests", "coverage", "build", "integration", "ai-review")
COVERAGE = '[gates]\ncoverage = {command = "c", report = "r/c.json", minimum = 12.5}'


def plan_of(files: dict[str, str], profile=GateProfile.STRICT, gates=()) -> Plan:
    detectors = tuple(DETECTORS.build(name, None) for name in ordered(DETECTORS.names()))
    encoded = {path: text.encode() for path, text in files.items()}
    return make_plan(
        profile, encoded.get, detectors, paths=encoded.keys(), gates=gates, timeout_s=60.0
    )


def gate_of(files: dict[str, str], name: str = "tests") -> PlannedGate:
    return next(gate for gate in plan_of(files).gates if gate.name == name)


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        (GateProfile.STRICT, ALL),
        (GateProfile.STANDARD, ALL[:4]),
        (GateProfile.MINIMAL, ("tests",)),
    ],
)
def test_a_profile_asks_for_the_contracts_gates_before_and_after_the_commit(profile, names):
    plan = plan_of({}, profile)
    assert tuple(gate.name for gate in plan.gates) == names
    before = {gate.name for gate in plan.of(Stage.PRE_COMMIT)}
    after = {gate.name for gate in plan.of(Stage.POST_COMMIT)}
    assert before == set(names) & {"typecheck", "lint", "tests"}
    assert after == set(names) - before


def test_custom_is_what_was_asked_for():
    plan = plan_of({}, GateProfile.CUSTOM, ("build", "tests", "build"))
    assert [gate.name for gate in plan.gates] == ["tests", "build"]


@pytest.mark.parametrize(
    ("gates", "cause"),
    [
        ((), "profile custom needs some of"),
        (("tests", "unheard-of"), "there is no gate 'unheard-of', only"),
    ],
)
def test_custom_without_a_gate_that_exists_is_no_plan(gates, cause):
    """A plan of no gates would approve everything."""
    with pytest.raises(PlanInvalid) as caught:
        plan_of({}, GateProfile.CUSTOM, gates)
    assert str(caught.value).startswith(f"gates: {cause} {ALL[0]}, ")


@pytest.mark.parametrize(
    ("asked", "own", "profile"),
    [
        (GateProfile.MINIMAL, GateProfile.STRICT, GateProfile.MINIMAL),
        (None, GateProfile.STRICT, GateProfile.STRICT),
        (None, None, GateProfile.STANDARD),
    ],
)
def test_the_profile_is_the_one_asked_for_else_the_repositorys_else_the_default(
    asked, own, profile
):
    assert chosen_profile(RepoConfig(profile=own), asked, GateProfile.STANDARD) is profile


def test_the_first_file_with_the_table_wins_and_detection_fills_the_other_gates():
    files = {
        "pyproject.toml": '[build-system]\n[tool.orchestrator.gates]\ntests = "first"',
        "orchestrator.toml": '[gates]\ntests = "second"\nlint = "second"',
        "Makefile": "lint:\nbuild:\n",
    }
    assert gate_of(files).command == "first"
    assert gate_of(files, "lint").command == "make lint"
    assert gate_of(files, "build").command == "python3 -m build"


@pytest.mark.parametrize(
    ("command", "script"),
    [("npm ci && npm test", "jest"), ("make test", "jest"), ("./check", ""), ("npm run unit", "")],
)
def test_a_command_of_the_bases_own_has_the_script_whose_name_it_ends_in(command, script):
    files = {
        "package.json": '{"scripts": {"test": "jest"}}',
        "orchestrator.toml": f'[gates]\ntests = "{command}"',
    }
    assert gate_of(files).script == script


def test_a_command_for_a_folder_has_the_script_of_that_folder():
    files = {
        "package.json": '{"scripts": {"test": "jest"}}',
        "web/package.json": '{"scripts": {"test": "vitest"}}',
        "orchestrator.toml": '[gates]\ntests = {command = "npm test", folder = "web"}',
    }
    assert gate_of(files).script == "vitest"


def test_a_gate_names_the_file_for_which_its_command_was_chosen():
    assert gate_of({"a.py": "", "web/package.json": PACKAGE_TEXT}).source == "web/package.json"
    own = '[gates]\ntests = {command = "npm test", folder = "web"}'
    files = {"web/package.json": PACKAGE_TEXT, "orchestrator.toml": own}
    assert gate_of(files).source == "orchestrator.toml"


@pytest.mark.parametrize(
    ("environment", "installing"),
    [
        (None, ["", "web"]),
        (Environment(root="/e"), ["", "web"]),
        (Environment(root="/e", products=("node_modules",)), ["web"]),
        (Environment(root="/e", products=("node_modules", "web/node_modules")), []),
    ],
)
def test_a_gate_does_not_install_again_what_its_environment_has(environment, installing):
    package = {"package.json": PACKAGE_TEXT, "package-lock.json": "{}"}
    plan = plan_of({**package, **{f"web/{path}": text for path, text in package.items()}})
    within = plan.within(environment)
    tests = {gate.folder: gate.command for gate in within.gates if gate.name == "tests"}
    assert [folder for folder in ("", "web") if "npm ci" in tests[folder]] == installing
    assert all(command.endswith("npm run --silent test") for command in tests.values())
    # A gate without a command, such as the review, has none after it.
    assert within.commands == tuple(gate.command for gate in within.gates if gate.command)


def test_coverage_is_85_percent_unless_the_base_commit_says_otherwise():
    assert gate_of({"go.mod": ""}, "coverage").minimum == 85
    gate = gate_of({"orchestrator.toml": COVERAGE}, "coverage")
    assert (gate.command, gate.report, gate.minimum) == ("c", "r/c.json", 12.5)
    only = {"go.mod": "", "orchestrator.toml": "[gates]\ncoverage = {minimum = 0}"}
    gate = gate_of(only, "coverage")
    assert (gate.report, gate.minimum) == ("coverage.out", 0)
    only = {"go.mod": "", "orchestrator.toml": "[gates]\ncoverage = {report = 'r.out'}"}
    gate = gate_of(only, "coverage")
    assert (gate.report, gate.minimum) == ("r.out", 85)


@pytest.mark.parametrize(
    ("files", "name", "line"),
    [
        ({}, "tests", 'orchestrator.toml [gates] tests = "<command>"'),
        (
            {"pyproject.toml": "[tool.orchestrator.gates]"},
            "lint",
            'pyproject.toml [tool.orchestrator.gates] lint = "<command>"',
        ),
        ({}, "coverage", 'coverage = {command = "<command>", report = "<the file it writes>"}'),
    ],
)
def test_a_gate_without_a_command_says_which_line_to_add(files, name, line):
    gate = gate_of(files, name)
    assert gate.command is None
    other = f'{name} = {{not_applicable = "<reason>"}} if there is nothing to check'
    assert gate.hint.endswith(f"{line}, or {other}")


def test_a_package_with_tests_that_no_detector_knows_has_something_to_check():
    hint = gate_of({"pom.xml": "", "src/test/java/ATest.java": ""}, "tests").hint
    assert hint.endswith('tests = "<command>"')


def test_a_review_needs_no_command():
    assert not gate_of({}, "ai-review").hint


def test_a_gate_has_its_own_time_limit():
    gate = gate_of({"orchestrator.toml": '[gates.tests]\ncommand = "x"\ntimeout = "5m"'})
    assert gate.timeout_s == 300
    assert gate_of({}).timeout_s == 60


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"orchestrator.toml": "[gates"}, "orchestrator.toml"),
        ({"pyproject.toml": "tool = 7\n[x"}, "pyproject.toml"),
        ({"orchestrator.toml": "gates = 7"}, "orchestrator.toml: gates"),
        ({"orchestrator.toml": "[gates]\ntest = 'x'"}, "there is no gate 'test'"),
        ({"orchestrator.toml": "[gates]\ntests = ''"}, "orchestrator.toml [gates] tests"),
        ({"orchestrator.toml": "[gates]\ntests = 7"}, "orchestrator.toml [gates] tests"),
        ({"orchestrator.toml": "[gates.tests]\ncommand='x'\nunknown=1"}, "tests: unknown"),
        ({"orchestrator.toml": "[gates.tests]\ncommand='x'\ntimeout='-1'"}, "tests: timeout"),
        ({"orchestrator.toml": "[gates.coverage]\nminimum=120"}, "coverage: minimum"),
        ({"orchestrator.toml": "[gates]\ncoverage='x'"}, "coverage: report"),
        ({"orchestrator.toml": "[gates]\ncoverage={report='/etc/x'}"}, "coverage: report"),
        ({"orchestrator.toml": "[gates]\ncoverage={report='a/../../x'}"}, "coverage: report"),
        ({"orchestrator.toml": "[gates]\nlint={minimum=5}"}, "lint: minimum"),
        ({"orchestrator.toml": "[gates]\nai-review='true'"}, "there is no gate 'ai-review'"),
        ({"orchestrator.toml": '[gates]\ntests="a\\u0000b"'}, "tests: command"),
        ({"orchestrator.toml": "x = " + "[" * 100_000}, "orchestrator.toml: Nested"),
    ],
)
def test_a_malformed_configuration_is_refused_with_file_and_key(files, named):
    with pytest.raises(PlanInvalid) as caught:
        plan_of(files)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("configured", "is_same"),
    [
        ('tests = "a"', True),
        ('tests = {command = "a", timeout = "60s"}', True),
        ('tests = "b"', False),
        ('tests = {command = "a", timeout = "61s"}', False),
        ('tests = "a"\ncoverage = {minimum = 84}', False),
        ('tests = "a"\ncoverage = {report = "x"}', False),
    ],
)
def test_the_digest_changes_with_what_would_be_judged_and_only_then(configured, is_same):
    first = plan_of({"pyproject.toml": '[tool.orchestrator.gates]\ntests = "a"'})
    other = plan_of({"orchestrator.toml": f"[gates]\n{configured}"})
    assert (first.digest == other.digest) is is_same


MAKEFILE = """
include mk/lint.mk
RUNNER := scripts/runner
SOURCES = main.c util.c
export PY ?= python3

.PHONY: test
test: unit $(SOURCES)
\t@CI=1 bash scripts/test.sh src/judged.py \\
\t  && echo $(SOURCES)
unit:
\t-$(RUNNER) --all; $(PY) -W error tools/unit.py
\t$(MAKE) more
more: included ; . ./env.sh
build:
\tscripts/build.sh
serve:
\tpython3 app.py
"""
PACKAGE_TEXT = '{"dependencies": {"x": "1"}, "scripts": {"test": "jest"}}'
PACKAGE = {
    "scripts": {
        "test": "node -r ./hook.js scripts/test.js src/judged.js",
        "pretest": "npm run gen:all",
        "gen:all": "cross-env A=1 tsx gen.ts",
        "prepare": "./prepare.sh",
        "start": "node index.js",
    }
}


def test_what_make_runs_for_a_gate_is_known_by_its_files():
    files = {"Makefile": MAKEFILE, "mk/lint.mk": "included:\n\t$(CURDIR)/mk/lint.sh\n"}
    assert plan_of(files).files >= {
        "mk/lint.mk", "mk/lint.sh", "scripts/test.sh", "scripts/runner", "tools/unit.py", "env.sh",
    }  # fmt: skip
    assert not plan_of(files).files & {"main.c", "util.c", "src/judged.py", "app.py"}
    assert "scripts/build.sh" in plan_of(files).files
    assert "scripts/build.sh" not in plan_of(files, GateProfile.MINIMAL).files
    autotools = {"configure.ac": "", "Makefile.am": "TESTS = a\n"}
    assert "Makefile.am" in plan_of(autotools).files


def test_what_npm_runs_for_a_gate_is_known_by_its_files():
    files = plan_of(
        {"package.json": json.dumps(PACKAGE), "Makefile": "run:\n\tnode index.js\n"}
    ).files
    assert files >= {"hook.js", "scripts/test.js", "gen.ts", "prepare.sh"}
    assert not files & {"src/judged.js", "index.js"}


@pytest.mark.parametrize("package", ["[", "[1]", '{"scripts": 1}', '{"scripts": {"test": 1}}'])
def test_a_package_that_is_none_runs_no_file(package):
    assert plan_of({"package.json": package, "Makefile": "test:\n\tmake -C a\n"}).files >= {"make"}
