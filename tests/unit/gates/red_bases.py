"""Small repositories whose gates fail on the base commit, and the judge of changes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.gates.plan import Plan, make_plan
from orchestrator.models import GateProfile, GateReport, GateResult
from orchestrator.wiring import worker as wiring_worker
from tests.unit.gates.cheats.judging import Case, Judge, Repository


def config(gates: str, red_base: str = "compare") -> str:
    """Return the configuration of some gates, with the policy."""
    return f'[gates]\nred_base = "{red_base}"\n{gates}\n'


class RedJudge(Judge):
    """Runs each gate that a repository configures, in one report."""

    def plan(self, base: Repository, profile: GateProfile) -> Plan:
        plan = make_plan(
            GateProfile.CUSTOM,
            lambda path: str(base.files[path]).encode() if path in base.files else None,
            wiring_worker.detectors(self.runner.settings),
            paths=frozenset(base.files),
            timeout_s=300,
        )
        return replace(plan, profile=profile)

    def judged(
        self,
        base: Mapping[str, str],
        edits: Mapping[str, str | None],
        profile: GateProfile = GateProfile.CUSTOM,
        **options: Any,
    ) -> GateReport:
        """Return the report on a change of a base, which is known by its content."""
        repository = Repository(str(hash(tuple(base.items()))), base)
        return self.report(Case("x", repository, edits), profile, **options)

    def only_gate(self, base: Mapping[str, str], edits: Mapping[str, str | None]) -> GateResult:
        """Return the result of the only gate."""
        (result,) = self.judged(base, edits).gates
        return result


PYTEST = {
    "orchestrator.toml": config('tests = "python3 -m pytest -q"'),
    "calc.py": "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a + b\n",
    "tests/test_calc.py": (
        "import calc\n\n\ndef test_add():\n    assert calc.add(1, 2) == 3\n\n\n"
        "def test_sub():\n    assert calc.sub(3, 1) == 2\n"
    ),
}
UNITTEST = {
    "orchestrator.toml": config('tests = "python3 -m unittest"'),
    "test_calc.py": (
        "import unittest\n\n\nclass T(unittest.TestCase):\n"
        "    def test_good(self): self.assertTrue(True)\n"
        "    def test_red(self): self.assertTrue(False)\n"
    ),
}
NODE = {
    "orchestrator.toml": config('tests = "node --test"'),
    "a.test.js": (
        "const test = require('node:test');\nconst assert = require('node:assert');\n"
        "test('good', () => assert.ok(true));\ntest('red', () => assert.ok(false));\n"
    ),
}
GO = {
    "orchestrator.toml": config('tests = "go test ./..."'),
    "go.mod": "module m\n\ngo 1.20\n",
    "a/a_test.go": (
        'package a\nimport "testing"\nfunc TestX(t *testing.T) {}\n'
        "func TestRed(t *testing.T) { t.Fatal(1) }\n"
    ),
    "b/b_test.go": 'package b\nimport "testing"\nfunc TestX(t *testing.T) {}\n',
}
RUFF = {
    "orchestrator.toml": config('lint = "ruff check --no-cache ."'),
    "a.py": "import os\n\nx = 1\n",
    "b.py": "y = 2\n",
}
MYPY = {
    "orchestrator.toml": config('typecheck = "python3 -m mypy --no-incremental ."'),
    "a.py": "x: int = 'a'\n",
    "b.py": "y: int = 1\n",
}
MAKE = {
    "orchestrator.toml": config('lint = "make lint"'),
    "Makefile": "lint:\n\tsh check.sh\n",
    "check.sh": "grep -n BAD *.txt | sed 's/$$/ is bad/' && exit 1 || exit 0\n",
    "a.txt": "fine\nBAD one\n",
    "b.txt": "fine\n",
}
