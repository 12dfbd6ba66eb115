"""The plan comes from the base commit's files, and what nobody can run is missing, not skipped."""

from __future__ import annotations

import pytest

from orchestrator.errors import PlanInvalid
from orchestrator.gates.plan import make_plan
from orchestrator.models import GateProfile
from orchestrator.plugins import Family

DETECTORS = Family("orchestrator.gates.detectors")


def plan_of(files: dict[str, str]):
    detectors = tuple(DETECTORS.build(name, None) for name in DETECTORS.names())
    encoded = {path: text.encode() for path, text in files.items()}
    return make_plan(GateProfile.STANDARD, encoded.get, detectors, timeout_s=60)


def command_of(files: dict[str, str]) -> str | None:
    (gate,) = plan_of(files).gates
    return gate.command


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"orchestrator.toml": '[gates]\ntests = "run it"'}, "run it"),
        ({"orchestrator.toml": '[gates.tests]\ncommand = "run it"\ntimeout = "5m"'}, "run it"),
        ({"pyproject.toml": '[tool.orchestrator.gates]\ntests = "mine"'}, "mine"),
        (
            {
                "pyproject.toml": '[tool.orchestrator.gates]\ntests = "first"',
                "orchestrator.toml": '[gates]\ntests = "second"',
            },
            "first",
        ),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "python3 -m pytest -q"),
        ({"pytest.ini": "[pytest]\n"}, "python3 -m pytest -q"),
        ({"tests/__init__.py": ""}, "python3 -m unittest -q"),
        ({"package.json": '{"scripts": {"test": "vitest run"}}'}, "npm test --silent"),
        ({"Makefile": "all:\n\ttrue\ntest: all\n\ttrue\n"}, "make test"),
        ({"Makefile": "test := 1\n"}, None),
        ({"package.json": "[]"}, None),
        ({"package.json": "{"}, None),
        ({}, None),
    ],
)
def test_the_test_command_is_the_repositorys_own(files, command):
    assert command_of(files) == command


def test_a_gate_without_a_command_says_which_line_to_add():
    (gate,) = plan_of({}).gates
    assert gate.hint.endswith('[gates] tests = "<command>"')


def test_a_gate_has_its_own_time_limit():
    (gate,) = plan_of({"orchestrator.toml": '[gates.tests]\ncommand = "x"\ntimeout = "5m"'}).gates
    assert gate.timeout_s == 300


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
        ({"orchestrator.toml": "[gates.coverage]\ncommand='x'\nminimum=120"}, "coverage: minimum"),
    ],
)
def test_a_malformed_configuration_is_refused_with_file_and_key(files, named):
    with pytest.raises(PlanInvalid) as caught:
        plan_of(files)
    assert named in str(caught.value)


def test_the_digest_changes_with_what_would_run_and_only_then():
    first = plan_of({"orchestrator.toml": '[gates]\ntests = "a"'})
    same = plan_of({"pyproject.toml": '[tool.orchestrator.gates]\ntests = "a"'})
    other = plan_of({"orchestrator.toml": '[gates]\ntests = "b"'})
    assert first.digest == same.digest
    assert first.digest != other.digest
