"""`orch gates plan`: what would run, why, and what to fix, before anything is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import git, make_remote
from tests.integration.test_gates_packages import PACKAGE, UNITTEST, make_checkout

FILES = {
    "backend/test_a.py": UNITTEST.format("True"),
    "package.json": PACKAGE,
    "pom.xml": "",
    "orchestrator.toml": 'profile = "custom"\n[gates]\nlint = {not_applicable = "none"}\n'
    'tests = {timeout = "5m"}\n',
}


def gates_plan(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "gates", "plan", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **env},
    )


def test_it_shows_each_command_its_folder_its_reason_and_what_is_left_out(tmp_path):
    ran = gates_plan(make_checkout(tmp_path, FILES))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "profile custom" in ran.stdout
    assert "$ python3 -m unittest  in backend  because of backend/test_a.py" in ran.stdout
    assert "$ npm run --silent test  in the root  because of package.json" in ran.stdout
    assert "not applicable: none" in ran.stdout
    assert "pom.xml (tests): no detector knows how to run a package of Maven" in ran.stdout


def test_the_document_says_the_same(tmp_path):
    document = json.loads(gates_plan(make_checkout(tmp_path, FILES), "--json").stdout)
    assert document["approvable"] is True
    tests = next(gate for gate in document["gates"] if gate["name"] == "tests")
    assert [(step["folder"], step["timeoutS"]) for step in tests["commands"]] == [
        ("backend", 300.0),
        ("", 300.0),
    ]
    assert document["notJudged"][0]["path"] == "pom.xml"


@pytest.mark.parametrize(
    ("files", "mend", "words"),
    [
        ({"README": ""}, "repository", "says nowhere how to run tests"),
        ({"orchestrator.toml": "[gates]\ntests = 'no-such-tool -x'"}, "host", "needs no-such-tool"),
        (
            {"orchestrator.toml": "[gates]\ntests = 'A=1 python3 -m no_such_module'"},
            "host",
            "module no_such_module",
        ),
        ({"pom.xml": "", "src/test/ATest.java": ""}, "repository", "package of Maven"),
    ],
)
def test_what_cannot_be_approved_says_what_is_to_mend(tmp_path, files, mend, words):
    ran = gates_plan(make_checkout(tmp_path, files), "--profile=minimal", "--json")
    assert ran.returncode == 3
    (fault,) = json.loads(ran.stdout)["faults"]
    assert (fault["fixIn"], fault["gate"]) == (mend, "tests")
    assert words in fault["detail"]


@pytest.mark.parametrize(
    "command",
    [
        "cd sub && ./x", "$TOOL test", "make test || true", "sh -c 'no-such'", "command -v x",
        "pip install x && no-such-tool", "if true; then no-such; fi", "PATH=/x:$PATH no-such",
        "(no-such)", "./no-such", "env -i no-such", "no-such > x", "test -d x && no-such",
    ],
)  # fmt: skip
def test_what_is_not_known_for_sure_is_no_fault(tmp_path, command):
    files = {"orchestrator.toml": f"[gates]\ntests = {json.dumps(command)}"}
    ran = gates_plan(make_checkout(tmp_path, files), "--profile=minimal", "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_in_an_image_the_tools_of_this_host_are_not_looked_for(tmp_path):
    files = {"orchestrator.toml": "[gates]\ntests = 'no-such-tool'"}
    checkout = make_checkout(tmp_path, files)
    assert gates_plan(checkout, "--profile=minimal").returncode == 3
    assert gates_plan(checkout, "--profile=minimal", SANDBOX_ENABLED="true").returncode == 0


def test_a_commit_a_repository_and_the_files_as_they_are_can_be_asked(tmp_path):
    remote = make_remote(tmp_path / "r", FILES)
    shown = gates_plan(tmp_path, "--repo", str(remote), "--json")
    assert json.loads(shown.stdout)["profile"] == "custom", shown.stderr
    checkout = make_checkout(tmp_path / "c", FILES)
    (checkout / "orchestrator.toml").write_text("[gates]\ntests = 'true'\n")
    (checkout / "new.test.js").write_text("")
    assert "$ true" in gates_plan(checkout).stdout
    assert "$ true" not in gates_plan(checkout, "--base=main").stdout
    both = gates_plan(checkout, "--base=main", "--repo=/x")
    assert both.returncode == 2
    assert "use --branch" in both.stderr


def test_outside_a_checkout_and_a_malformed_file_are_one_line(tmp_path):
    ran = gates_plan(tmp_path)
    assert ran.returncode == 1
    assert "no git checkout" in ran.stderr
    git("init", "-q", cwd=tmp_path)
    (tmp_path / "orchestrator.toml").write_text("[gates]\ntest = 'x'\n")
    ran = gates_plan(tmp_path)
    assert ran.returncode == 3
    assert "did you mean tests?" in ran.stderr


def test_the_schema_is_printed(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "config", "schema"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout)["properties"]["gates"]
