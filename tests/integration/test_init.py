"""`orch init`: what it finds, tries and writes; whose turn it is; and what it never overwrites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import SAMPLE, git
from tests.integration.test_gates_run import ALL_GATES, COVER

PLAIN = {name: SAMPLE[name] for name in ("calc.py", "test_calc.py")}
BROKEN = PLAIN | {"calc.py": "def add(a, b):\n    return a - b\n"}
FILE = "orchestrator.toml"
Ran = subprocess.CompletedProcess[str]
Make = Callable[[dict[str, str]], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a checkout with one commit of these files."""

    def make(files: dict[str, str]) -> Path:
        folder = tmp_path / "checkout"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        git("init", "-q", "-b", "main", str(folder), cwd=tmp_path)
        git("add", "-A", cwd=folder)
        git("commit", "-q", "-m", "Begin", cwd=folder)
        return folder

    return make


def init(folder: Path, *arguments: str) -> Ran:
    """Run `orch init` as a person does; no system runs."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "init", *arguments],
        cwd=folder,
        env={**os.environ, "ORCHESTRATOR_HOME": str(folder.parent / "home")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def shown(folder: Path, *arguments: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the document, and its gates by name."""
    ran = init(folder, "--json", *arguments)
    assert ran.stdout, ran.stderr
    document = json.loads(ran.stdout)
    return document, {gate["name"]: gate for gate in document["gates"]}


def test_it_writes_what_passes_on_the_newest_commit(make):
    folder = make(PLAIN)
    # An agent starts from the commit: what stands uncommitted here is none of it.
    (folder / "calc.py").write_text("broken")
    ran = init(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed          tests" in ran.stdout
    assert "fix the repository: The base commit says nowhere how to run lint" in ran.stdout
    config = tomllib.loads((folder / FILE).read_text())
    assert config == {"profile": "custom", "gates": {"tests": "python3 -m unittest"}}
    assert "# lint: missing." in (folder / FILE).read_text()
    assert (folder / "calc.py").read_text() == "broken"
    left = list((folder.parent / "home").rglob("*init*"))
    assert left == []


def test_what_it_writes_is_what_an_agent_is_checked_by(make):
    folder = make(PLAIN)
    init(folder)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "Configure", cwd=folder)
    plan = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "gates", "plan", "--base", "HEAD", "--json"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    document = json.loads(plan.stdout)
    assert (document["profile"], document["approvable"]) == ("custom", True)


def test_the_asked_profile_stays_if_all_of_it_passes(make):
    gates = ALL_GATES.replace("[gates]", "[tool.other]")
    makefile = (
        "typecheck:\n\tpython3 -m compileall -q calc.py\nlint:\n\tpython3 -m tabnanny calc.py\n"
        "coverage:\n\tpython3 cover.py coverage.json\n"
    )
    folder = make(PLAIN | {"cover.py": COVER, "Makefile": makefile, "x.toml": gates})
    document, found = shown(folder)
    assert {name: gate["status"] for name, gate in found.items()} == dict.fromkeys(
        ("typecheck", "lint", "tests", "coverage"), "passed"
    ), document
    assert (document["profile"], document["approvable"]) == ("standard", True)
    assert 'report = "coverage.json", minimum = 85' in document["config"]


def test_tests_that_are_red_on_the_base_are_the_repositorys_turn(make):
    folder = make(BROKEN)
    ran = init(folder)
    assert ran.returncode == 3
    assert "fix the repository" in ran.stdout
    assert "no change can be approved" in ran.stdout
    # Nothing red is active in the file.
    assert tomllib.loads((folder / FILE).read_text())["gates"] == {}


@pytest.mark.parametrize(
    "files",
    [
        {"test_calc.py": "import nothing_of_this_name\n" + PLAIN["test_calc.py"]},
        {"Makefile": "test:\n\tno-such-program-here\n", "test_calc.py": ""},
    ],
)
def test_what_this_host_lacks_is_the_hosts_turn(make, files):
    document, found = shown(make(PLAIN | files))
    assert found["tests"]["turn"] == "host", document
    assert not document["approvable"]


def test_a_file_that_exists_is_replaced_only_if_asked(make):
    folder = make(PLAIN | {FILE: 'profile = "minimal"\n'})
    refused = init(folder)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (folder / FILE).read_text() == 'profile = "minimal"\n'
    printed = init(folder, "--print", "--no-run")
    assert tomllib.loads(printed.stdout)["profile"] == "standard"
    assert (folder / FILE).read_text() == 'profile = "minimal"\n'
    assert init(folder, "--force").returncode == 0
    assert tomllib.loads((folder / FILE).read_text())["profile"] == "custom"


def test_a_link_is_not_written_through(make):
    folder = make(PLAIN)
    (folder / FILE).symlink_to(folder.parent / "elsewhere")
    assert init(folder).returncode == 2
    assert init(folder, "--force", "--no-run").returncode in (0, 3)
    assert not (folder.parent / "elsewhere").exists()


def test_a_configuration_in_pyproject_is_named(make):
    folder = make(SAMPLE)
    refused = init(folder, "--force")
    assert refused.returncode == 2
    assert "pyproject.toml has [tool.orchestrator] already" in refused.stderr
    assert not (folder / FILE).exists()


def test_without_a_run_nothing_runs(make):
    folder = make(PLAIN | {"test_calc.py": "raise SystemExit('it ran')\n"})
    document, found = shown(folder, "--no-run")
    assert "status" not in found["tests"]
    assert "# tests: not run." in document["config"]


def test_what_is_found_and_not_judged_is_named_and_names_stay_comments(make):
    hostile = 'x\r[gates]\ntests = "true"\n#'
    folder = make(PLAIN | {f"{hostile}/pom.xml": "", "web/package.json": '{"scripts": {"a": "b"}}'})
    document, _ = shown(folder, "--no-run")
    assert any("pom.xml" in entry["path"] for entry in document["notJudged"])
    assert tomllib.loads(document["config"])["gates"].get("tests") != "true"


def test_an_environment_that_cannot_be_set_up_is_named_and_no_gate_is_blamed(make):
    own = {FILE: "[environment]\nsetup = 'echo no-such-index; false'\n"}
    folder = make(PLAIN | own)
    document, found = shown(folder, "--force")
    assert document["approvable"] is False
    for words in ("echo no-such-index", "ended with exit code 1", "[environment] setup"):
        assert words in document["environmentError"]
    assert "status" not in found["tests"]
    assert "# The environment cannot be set up" in document["config"]
    assert tomllib.loads(document["config"])["profile"] == "standard"
    ran = init(folder, "--force")
    assert ran.returncode == 3
    assert "environment     not set up" in ran.stdout


def test_a_set_up_finds_the_contents_of_submodules_and_follows_their_pin(make, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SUBMODULES", "any")
    own = {FILE: "[environment]\nsetup = 'cp lib/x made'\n"}
    folder = make(PLAIN | own)
    lib = folder.parent / "lib"
    git("init", "-q", "-b", "main", str(lib), cwd=folder.parent)
    (folder / ".gitmodules").write_text(f'[submodule "lib"]\n\tpath = lib\n\turl = {lib}\n')
    kept = folder.parent / "home/environments"
    for number in (1, 2):
        (lib / "x").write_text(f"{number}")
        git("add", "-A", cwd=lib)
        git("commit", "-q", "-m", "x", cwd=lib)
        pin = git("rev-parse", "HEAD", cwd=lib)
        git("add", ".gitmodules", cwd=folder)
        git("update-index", "--add", "--cacheinfo", f"160000,{pin},lib", cwd=folder)
        git("commit", "-q", "-m", "pin", cwd=folder)
        document, _ = shown(folder, "--force")
        assert document["environmentError"] is None
    assert sorted(path.read_text() for path in kept.glob("*/tree/made")) == ["1", "2"]


def test_several_packages_are_each_named_with_their_folder(make, monkeypatch):
    sides = {f"{side}/{name}": text for side in ("a", "b") for name, text in PLAIN.items()}
    monkeypatch.setenv("ORCHESTRATOR_ENVIRONMENTS", "configured")
    document, found = shown(make(sides | {"a/setup.py": "", "b/setup.py": ""}))
    assert found["tests"]["status"] == "passed", document
    entries = tomllib.loads(document["config"])["gates"]["tests"]
    assert [entry["folder"] for entry in entries] == ["a", "b"]


def test_a_linked_worktree_and_a_login_in_its_origin(make):
    folder = make(PLAIN | {"Makefile": "lint:\n\t! git config remote.origin.url | grep hidden\n"})
    git("remote", "add", "origin", "https://me:hidden@example.org/x.git", cwd=folder)
    git("worktree", "add", "-q", "-b", "topic", "../linked", cwd=folder)
    _, found = shown(folder.parent / "linked")
    assert (found["tests"]["status"], found["lint"]["status"]) == ("passed", "passed")


def test_a_folder_without_a_commit_is_refused_with_what_to_do(tmp_path, make):
    outside = init(tmp_path)
    assert outside.returncode == 1
    assert "in no git checkout" in outside.stderr
    empty = tmp_path / "empty"
    git("init", "-q", str(empty), cwd=tmp_path)
    refused = init(empty)
    assert refused.returncode == 1
    assert "has no commit" in refused.stderr
