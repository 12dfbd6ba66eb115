"""Plans of base commits, and what this host has for their gates, found on its own PATH."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.gates.base_records import BaseRecords
from orchestrator.gates.planning import Planning, Tools, faults_here
from orchestrator.gates.run_record import RunRecord
from orchestrator.interfaces.environment import Environment
from orchestrator.models import GateProfile, GateStatus, SpawnRequest, Stage
from orchestrator.settings import Settings, load_settings
from orchestrator.wiring.host import detectors
from orchestrator.workspace.mirror import Base
from tests.unit.gates.test_faults import plan_of

MODULE = "module_of_this_test"
PYTHON = """#!/bin/sh
echo >> "$0.calls"
test -e "$0.has"
"""
BASE = Base(Path("/mirror"), "b1", "/x.git", "main")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a host whose `python3` has the module only where `python3.has` exists."""
    program = tmp_path / "python3"
    program.write_text(PYTHON)
    program.chmod(0o755)
    return settings_of(tmp_path)


def settings_of(folder: Path, **env: str) -> Settings:
    path = f"{folder}:{os.environ['PATH']}"
    return load_settings({"PATH": path, "ORCHESTRATOR_HOME": str(folder / "home"), **env})


def plan_with(command: str):
    files = {"orchestrator.toml": f"[gates]\ntests = '{command}'\n"}
    return plan_of(files, GateProfile.MINIMAL)


def test_a_module_that_was_found_is_not_searched_again(settings, tmp_path):
    plan = plan_with(f"python3 -m {MODULE}")
    calls, found = tmp_path / "python3.calls", set[str]()
    # One that is absent may be installed at any time.
    for count in (1, 2):
        (fault,) = faults_here(plan, settings, Tools(), found)
        assert (fault.fix_in, MODULE in fault.detail) == ("host", True)
        assert len(calls.read_text()) == count
    (tmp_path / "python3.has").touch()
    for _ in range(2):
        assert faults_here(plan, settings, Tools(), found) == ()
        assert len(calls.read_text()) == 3


def test_a_module_is_found_where_nothing_is_remembered(settings, tmp_path):
    (tmp_path / "python3.has").touch()
    assert faults_here(plan_with(f"python3 -m {MODULE}"), settings, Tools()) == ()


def test_a_set_up_of_python_may_still_install_a_module(settings):
    plan = plan_with(f"python3 -m {MODULE}")
    assert faults_here(plan, settings, Tools(pending=frozenset({"python"}))) == ()
    assert len(faults_here(plan, settings, Tools(pending=frozenset({"node"})))) == 1


@pytest.mark.parametrize(
    ("kind", "program", "may_come"),
    [
        ("node", "pnpm", True),
        ("node", "no-such-tool", False),
        ("python", "no-such-tool", True),
        ("configured", "no-such-tool", True),
        ("go", "pnpm", False),
    ],
)
def test_a_program_that_a_set_up_may_install_is_no_fault(tmp_path, kind, program, may_come):
    settings = load_settings({"PATH": str(tmp_path), "ORCHESTRATOR_HOME": str(tmp_path)})
    faults = faults_here(plan_with(f"{program} x"), settings, Tools(pending=frozenset({kind})))
    assert (not faults) is may_come


def test_an_environment_without_python_leaves_the_modules_to_the_host(settings, tmp_path):
    (tmp_path / "python3.has").touch()
    tools = Tools(Environment(root=tmp_path))
    assert faults_here(plan_with(f"python3 -m {MODULE}"), settings, tools) == ()


def test_modules_and_programs_of_an_environment_are_found_without_its_python(settings, tmp_path):
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / MODULE).mkdir(parents=True)
    (packages / "one_file.py").touch()
    tool = tmp_path / "venv/bin/own-tool"
    tool.parent.mkdir()
    tool.touch(mode=0o755)
    environment = Environment(
        root=tmp_path,
        variables={"VIRTUAL_ENV": str(tmp_path / "venv")},
        path=(str(tool.parent),),
    )
    tools = Tools(environment)
    for module in (MODULE, f"{MODULE}.cli", "one_file", "unittest"):
        assert faults_here(plan_with(f"python3 -m {module}"), settings, tools) == ()
    assert faults_here(plan_with("own-tool"), settings, tools) == ()
    (fault,) = faults_here(plan_with("python3 -m other_module"), settings, tools)
    assert fault.detail.endswith("nor does the repository's environment install it")
    assert not (tmp_path / "python3.calls").exists()


def test_the_tools_of_this_host_are_not_those_of_an_image(tmp_path):
    plan = plan_with("no-such-tool")
    assert len(faults_here(plan, settings_of(tmp_path), Tools())) == 1
    assert faults_here(plan, settings_of(tmp_path, SANDBOX_ENABLED="true"), Tools()) == ()


class Mirrors:
    """A mirror of one commit, whose files a test names; it counts how often they are listed."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {path: text.encode() for path, text in files.items()}
        self.lists = 0

    def paths(self, _base: Base) -> frozenset[str]:
        self.lists += 1
        return frozenset(self.files)

    def read(self, _base: Base, path: str) -> bytes | None:
        return self.files.get(path)

    def read_some(self, _base: Base, paths: tuple[str, ...]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths if path in self.files}


def planning_of(settings: Settings, files: dict[str, str]) -> Planning:
    submodules = SimpleNamespace(without_content=lambda _base: ())
    records = BaseRecords(settings, "shim")
    return Planning(Mirrors(files), detectors(settings), settings, submodules, records)


def request_of(**facts: object) -> SpawnRequest:
    context = {"repository": "/x.git", "branch": "main", "workItems": ["x"]}
    return SpawnRequest.model_validate(
        {"taskId": "t", "agentType": "worker", "context": context, **facts}
    )


@pytest.mark.parametrize(
    ("facts", "config", "profile"),
    [
        ({"gateProfile": "minimal"}, 'profile = "standard"', GateProfile.MINIMAL),
        ({}, 'profile = "minimal"', GateProfile.MINIMAL),
        ({}, "[gates]", request_of().profile),
    ],
)
def test_the_profile_is_that_of_the_request_else_of_the_repository(
    settings, facts, config, profile
):
    planning = planning_of(settings, {"orchestrator.toml": config})
    assert planning.plan(request_of(**facts), BASE).profile is profile


def test_a_profile_is_written_once(settings):
    written = []

    def update(_agent, patch):
        written.append(patch)
        return SimpleNamespace(gate_profile=patch["gateProfile"])

    planning = planning_of(settings, {"orchestrator.toml": 'profile = "minimal"'})
    agent = SimpleNamespace(gate_profile=GateProfile.STANDARD)
    holder = SimpleNamespace(update=update)
    for _ in range(2):
        agent = planning.with_profile(agent, request_of(), BASE, holder)
    assert written == [{"gateProfile": GateProfile.MINIMAL}]


def test_the_plan_of_a_commit_is_made_once_for_all_its_agents(settings):
    planning = planning_of(settings, {"Makefile": "test:\n\t./t\n"})
    first = planning.plan(request_of(), BASE)
    assert planning.plan(request_of(), BASE) is first
    assert planning.mirrors.lists == 1
    planning.plan(request_of(gateProfile="minimal"), BASE)
    assert planning.mirrors.lists == 2


def test_the_oldest_plan_is_left_out_where_too_many_are_kept(settings, monkeypatch):
    monkeypatch.setattr("orchestrator.gates.planning._MOST_KEPT", 2)
    planning = planning_of(settings, {"Makefile": "test:\n\t./t\n"})
    for commit, lists in (("b1", 1), ("b2", 2), ("b3", 3), ("b2", 3), ("b1", 4)):
        planning.plan(request_of(), replace(BASE, commit=commit))
        assert planning.mirrors.lists == lists


def test_a_refused_agent_has_a_report_of_the_stage_of_its_first_fault(settings):
    config = "[gates]\ntests = './tests'\nbuild = 'no-such-tool'\n"
    planning = planning_of(settings, {"orchestrator.toml": config})
    request = request_of(gateProfile="custom", gates=["tests", "build"])
    agent = SimpleNamespace(agent_id="a1", attempt=1)
    report = planning.report(agent, request, BASE, planning.faults(request, BASE))
    assert (report.stage, report.tree, report.approved) == (Stage.POST_COMMIT, "b1", False)
    assert [(gate.name, gate.status) for gate in report.gates] == [("build", GateStatus.ERRORED)]


@pytest.mark.parametrize(
    ("env", "is_checked"),
    [
        ({}, True),
        ({"ORCHESTRATOR_PLAN_CHECK": "warn"}, True),
        ({"ORCHESTRATOR_PLAN_CHECK": "off"}, False),
        ({"YOLO_MODE": "true"}, False),
    ],
)
def test_a_plan_is_checked_unless_the_operator_says_otherwise(tmp_path, env, is_checked):
    files = {"orchestrator.toml": "[gates]\ntests = 'no-such-tool'\n"}
    planning = planning_of(settings_of(tmp_path, **env), files)
    faults = planning.faults(request_of(gateProfile="minimal"), BASE)
    assert [fault.gate for fault in faults] == (["tests"] if is_checked else [])
    own = Tools(Environment(root=tmp_path, path=(str(tmp_path / "bin"),)))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/no-such-tool").touch(mode=0o755)
    assert planning.faults(request_of(gateProfile="minimal"), BASE, own) == ()


RED = "gate lint is red on the base commit (2 errors); policy for failures that were there before: "


@pytest.mark.parametrize(
    ("own", "status", "faults", "lines"),
    [
        ("", GateStatus.ERRORED, ["`./lint` cannot run on the base commit: 2 errors"], []),
        ("", GateStatus.FAILED, [], [f"{RED}refuse"]),
        ("red_base = 'compare'", GateStatus.FAILED, [], [f"{RED}compare"]),
        ("", GateStatus.PASSED, [], []),
    ],
)
def test_what_a_gate_did_on_the_base_is_remembered(settings, own, status, faults, lines):
    config = f"[gates]\n{own}\ntests = './tests'\nlint = './lint'\n"
    planning = planning_of(settings, {"orchestrator.toml": config})
    request = request_of(gateProfile="custom", gates=["tests", "lint"])
    plan = planning.plan(request, BASE)
    lint = next(gate for gate in plan.gates if gate.name == "lint")
    run = RunRecord(status=status, headline="2 errors")
    planning.records.get(BASE.commit, lint, None, lambda: (run, run), lambda: None)
    assert [fault.detail for fault in planning.faults(request, BASE)] == faults
    assert list(planning.red_gates(plan, BASE, None)) == lines
    # What is still to be set up may mend it.
    pending = Tools(pending=frozenset({"go"}))
    assert planning.faults(request, BASE, pending) == ()
