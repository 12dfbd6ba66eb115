"""No false approval: a fault in any package of a repository rejects, run by its real tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import git
from tests.integration.test_gates_run import gates_run

UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertTrue({})\n"
NODE = (
    "const test = require('node:test');\ntest('a', () => {{ if (!{}) throw new Error('red'); }});\n"
)
PACKAGE = '{"name": "x", "scripts": {"test": "node --test"}}'

REPOSITORIES = {
    "a Node test beside Python's": (
        {
            "test_a.py": UNITTEST.format("True"),
            "package.json": PACKAGE,
            "a.test.js": NODE.format("true"),
        },
        ("a.test.js", NODE.format("false")),
    ),
    "a backend beside the package.json of the root": (
        {
            "package.json": PACKAGE,
            "a.test.js": NODE.format("true"),
            "backend/app.py": "",
            "backend/tests/test_a.py": "import app\n" + UNITTEST.format("True"),
        },
        ("backend/tests/test_a.py", UNITTEST.format("False")),
    ),
    "a member of a workspace": (
        {
            "package.json": '{"private": true, "workspaces": ["packages/*"]}',
            "packages/a/package.json": PACKAGE.replace('"x"', '"a"'),
            "packages/a/a.test.js": NODE.format("true"),
            "packages/b/package.json": PACKAGE.replace('"x"', '"b"'),
            "packages/b/b.test.js": NODE.format("true"),
        },
        ("packages/b/b.test.js", NODE.format("false")),
    ),
    "a module of Go beside another": (
        {
            "go.mod": "module a\ngo 1.20\n",
            "a_test.go": 'package a\nimport "testing"\nfunc TestA(t *testing.T) {}\n',
            "cmd/go.mod": "module b\ngo 1.20\n",
            "cmd/b_test.go": 'package b\nimport "testing"\nfunc TestB(t *testing.T) {}\n',
        },
        (
            "cmd/b_test.go",
            'package b\nimport "testing"\nfunc TestB(t *testing.T) { t.Fatal(1) }\n',
        ),
    ),
}  # fmt: skip
_PROGRAMS = {"package.json": "npm", "go.mod": "go", "Makefile": "make"}


def is_usable(program: str, home: Path) -> bool:
    """Tell whether a program runs with another HOME, as a gate has it."""
    if shutil.which(program) is None:
        return False
    argv = (program, "version" if program == "go" else "--version")
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0


def make_checkout(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        if (program := _PROGRAMS.get(path)) and not is_usable(program, folder):
            pytest.skip(f"needs {program}")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git("init", "-q", "-b", "main", cwd=folder)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "Begin", cwd=folder)
    git("checkout", "-q", "-b", "topic", cwd=folder)
    return folder


def verdict(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ran.stdout, ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_fault_in_any_package_rejects(tmp_path, name):
    files, (path, broken) = REPOSITORIES[name]
    checkout = make_checkout(tmp_path, files)
    good = gates_run(checkout, "--profile=minimal", "--json")
    assert verdict(good)["approved"], good.stdout
    (checkout / path).write_text(broken)
    bad = gates_run(checkout, "--profile=minimal", "--json")
    assert bad.returncode == 3
    (report,) = verdict(bad)["reports"]
    assert report["gates"][0]["status"] == "failed", report


def test_the_evidence_of_each_command_is_in_one_result(tmp_path):
    files, (path, broken) = REPOSITORIES["a backend beside the package.json of the root"]
    checkout = make_checkout(tmp_path, files)
    (checkout / path).write_text(broken)
    (report,) = verdict(gates_run(checkout, "--profile=minimal", "--json"))["reports"]
    (gate,) = report["gates"]
    assert "(cd backend && python3 -m unittest discover -s tests)" in gate["command"]
    first, *rest = gate["detail"].splitlines()
    assert first.startswith("failed: cd backend && ")
    assert any(line.startswith("passed: npm run --silent test") for line in rest)


@pytest.mark.parametrize("put", ["nothing", "a link"])
def test_a_folder_that_the_change_takes_away_does_not_pass(tmp_path, put):
    files = {
        "test_a.py": UNITTEST.format("True"),
        "sub/pyproject.toml": "",
        "sub/test_b.py": UNITTEST.format("False"),
        "good/test_c.py": UNITTEST.format("True"),
    }
    checkout = make_checkout(tmp_path, files)
    shutil.rmtree(checkout / "sub")
    if put == "a link":
        (checkout / "sub").symlink_to("good")
    (report,) = verdict(gates_run(checkout, "--profile=minimal", "--json"))["reports"]
    assert report["gates"][0]["status"] == "failed"
    assert "has no folder sub" in report["gates"][0]["detail"]


def test_a_gate_that_does_not_apply_is_seen_in_report_and_verdict(tmp_path):
    files = {
        "test_a.py": UNITTEST.format("True"),
        "orchestrator.toml": 'profile = "custom"\n[gates]\ntests = ["true", "true"]\n'
        'lint = {not_applicable = "no linter knows this language"}\n',
    }
    document = verdict(gates_run(make_checkout(tmp_path, files), "--json"))
    assert document["approved"]
    assert document["gates"] == {"lint": "not_applicable", "tests": "passed"}
    gates = {gate["name"]: gate for gate in document["reports"][0]["gates"]}
    assert "no linter knows this language" in gates["lint"]["detail"]


def test_all_commands_of_a_list_run_and_must_pass(tmp_path):
    files = {
        "orchestrator.toml": '[gates]\ntests = ["touch first; exit 1", "touch second",'
        ' {command = "touch third", folder = "sub"}]\n',
        "sub/x": "",
    }
    checkout = make_checkout(tmp_path, files)
    ran = gates_run(checkout, "--profile=minimal")
    assert ran.returncode == 3
    assert all((checkout / name).exists() for name in ("first", "second", "sub/third"))
