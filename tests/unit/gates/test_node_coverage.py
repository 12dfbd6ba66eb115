"""Which script of a package.json measures its coverage, and with which arguments."""

from __future__ import annotations

import json

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

PROVIDER = {"@vitest/coverage-v8": "1"}
JEST = "--coverage --coverageReporters=json-summary"
VITEST = "--coverage.enabled=true --coverage.reporter=json-summary"


def coverage(scripts: dict[str, str], needs: dict[str, str] | None = None) -> str | None:
    package = json.dumps({"name": "x", "scripts": scripts, "devDependencies": needs or {}})
    plan = plan_of({"package.json": package}, GateProfile.STANDARD)
    (gate,) = [gate for gate in plan.gates if gate.name == "coverage"]
    return gate.command


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        # The script that measures is called by the script test.
        (
            {"test": "npm run lint && npm run test-ci", "test-ci": "nyc mocha", "lint": "eslint ."},
            "npm run --silent test && npx --no-install nyc report --reporter=json-summary",
        ),
        ({"test": "npm run unit", "unit": "jest"}, f"npm run --silent unit -- {JEST}"),
        ({"test": "eslint . && jest"}, f"npm run --silent test -- {JEST}"),
        ({"test": "mocha", "test:cov": "c8 mocha"},
         "npm run --silent test:cov && npx --no-install c8 report --reporter=json-summary"),
        # The arguments would reach the type check.
        ({"test": "jest && tsc"}, None),
        ({"test": "mocha"}, None),
    ],
)  # fmt: skip
def test_the_script_that_measures_is_found_below_others(scripts, expected):
    assert coverage(scripts) == expected


def test_vitest_measures_only_with_a_provider():
    assert coverage({"test": "vitest run"}) is None
    assert coverage({"test": "vitest run"}, PROVIDER) == f"npm run --silent test -- {VITEST}"
    assert coverage({"cov": "vitest run"}, PROVIDER) == f"npm run --silent cov -- {VITEST}"


@pytest.mark.parametrize("name", ["check:type", "type:check", "check-type", "check:types"])
def test_a_type_check_script_precedes_a_bare_compiler(name):
    package = {"scripts": {name: "tsc -p a && tsc -p b"}, "devDependencies": {"typescript": "5"}}
    plan = plan_of({"package.json": json.dumps(package), "tsconfig.json": "{}"},
                   GateProfile.STANDARD)  # fmt: skip
    commands = [gate.command for gate in plan.gates if gate.name == "typecheck"]
    assert commands == [f"npm run --silent {name}"]


@pytest.mark.parametrize(
    ("config", "needs", "expected"),
    [
        ("{}", {"typescript": "5"}, "npx --no-install tsc --noEmit"),
        # It only names the configurations of its parts, and checks nothing itself.
        ('{"references": [{"path": "a"}]}', {"typescript": "5"}, None),
        ("{}", {"tsx": "4"}, None),
        (None, {"typescript": "5"}, None),
    ],
)
def test_the_compiler_checks_a_package_that_has_it_and_a_configuration(config, needs, expected):
    files = {"package.json": json.dumps({"scripts": {"test": "x"}, "devDependencies": needs})}
    files |= {} if config is None else {"tsconfig.json": config}
    plan = plan_of(files, GateProfile.STANDARD)
    assert [gate.command for gate in plan.gates if gate.name == "typecheck"] == [expected]
