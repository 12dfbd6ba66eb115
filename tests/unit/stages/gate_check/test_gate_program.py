"""`orchestrator.stages.gate_check.gate_program`: what a gate's program gets, and its /tmp."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.sandbox import ProcessSpec, SandboxImage
from orchestrator.models import Stage
from orchestrator.stages.gate_check.gate_program import GateProgram
from tests.sandbox.levels import sandbox_at, settings_at

GATE = PlannedGate("tests", Stage.PRE_COMMIT, "true", 60.0)
SHOWN = 'printf %s "${TMPDIR-/tmp}"; touch "${TMPDIR-/tmp}/made-by-a-gate"'


def run_at(level: str, root: Path, **more: object):
    """Return the function that runs a program of a gate whose checkout is in a folder."""
    home = root / "home"
    checkout = root / "place" / "tree"
    checkout.mkdir(parents=True)
    sandbox = sandbox_at(level, home)
    program = program_in(checkout, **more)
    return program.runner(sandbox, settings_at(level, home), with_own_tools=False)


def program_in(checkout: Path, **more: object) -> GateProgram:
    facts = {"gate": GATE, "egress": None, "readable": (), "environment": None, **more}
    return GateProgram(agent_id="a1", attempt=1, checkout=checkout, check=lambda: None, **facts)


def started(root: Path, env: dict[str, str] | None = None, **more: object) -> ProcessSpec:
    """Return what a sandbox is given for a gate's program."""
    specs = []

    def start(spec: ProcessSpec) -> object:
        specs.append(spec)
        return nullcontext(SimpleNamespace(exit_code=0))

    sandbox = SimpleNamespace(level="bubblewrap", start=start)
    program = program_in(root / "place" / "tree", **more)
    run = program.runner(sandbox, settings_at("shim", root), with_own_tools=False)
    run(("/bin/sh", "-c", "true"), env or {}, b"", 60.0)
    (spec,) = specs
    return spec


def shown(run, command: str = SHOWN) -> str:
    ended = run(("/bin/sh", "-c", command), {}, b"", 60.0)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout.decode()


def test_a_gate_shares_no_temporary_files_with_other_programs_of_the_host(tmp_path):
    run = run_at("shim", tmp_path)
    assert shown(run) == str(tmp_path / "place" / "tmp")
    # A second program of the gate, such as one that reads its data, finds what the first one made.
    assert shown(run, 'ls "$TMPDIR"') == "made-by-a-gate\n"


def test_a_gate_whose_tmp_is_its_own_anyway_has_a_short_path(tmp_path):
    # Names of unix sockets have at most 107 bytes.
    assert shown(run_at("bubblewrap", tmp_path)) == "/tmp"
    assert not Path(tempfile.gettempdir(), "made-by-a-gate").exists()


def test_a_person_s_own_checkout_gets_no_folder_beside_it(tmp_path):
    run = run_at("shim", tmp_path, is_in_place=True)
    assert shown(run, 'printf %s "${TMPDIR-unset}"') == "unset"
    assert not (tmp_path / "place" / "tmp").exists()


def test_the_environment_of_the_repository_decides(tmp_path):
    environment = Environment(root=tmp_path, variables={"TMPDIR": str(tmp_path)})
    assert shown(run_at("shim", tmp_path, environment=environment)) == str(tmp_path)


@pytest.mark.parametrize(
    ("gate", "has_environment", "is_offline"),
    [
        (GATE, True, True),
        (GATE, False, False),
        (replace(GATE, network=True), True, False),
        (replace(GATE, name="build"), True, False),
    ],
    ids=["installed", "no-environment", "network", "build"],
)
def test_only_tools_whose_dependencies_are_installed_ask_no_registry(
    tmp_path, gate, has_environment, is_offline
):
    environment = Environment(root=tmp_path / "env") if has_environment else None
    spec = started(tmp_path, gate=gate, environment=environment)
    offline = {"PIP_NO_INDEX": "1", "npm_config_offline": "true", "GOPROXY": "off"}
    assert {name: spec.env.get(name) for name in offline} == (
        offline if is_offline else dict.fromkeys(offline)
    )


def test_a_gate_finds_the_tools_and_the_packages_of_the_environment(tmp_path):
    root, python = tmp_path / "env", tmp_path / "python"
    facts = {"root": root, "path": ("/env/bin",), "readable": (python,), "sources": ("src",)}
    objects = tmp_path / "objects"
    recorded = {"PYTHONPATH": "/recorder"}
    spec = started(tmp_path, recorded, environment=Environment(**facts), readable=(objects,))
    assert spec.path == ("/env/bin",)
    assert spec.readable == (objects, root, python)
    assert spec.env["PYTHONPATH"] == f"/recorder:{tmp_path}/place/tree/src"
    alone = started(tmp_path, readable=(objects,))
    assert (alone.path, alone.readable) == ((), (objects,))
    assert "PYTHONPATH" not in alone.env


@pytest.mark.parametrize("is_operators", [False, True])
def test_only_the_operator_s_program_does_not_run_in_the_image_of_the_repository(
    tmp_path, is_operators
):
    image = SandboxImage("python:3", "sha256:1")
    environment = Environment(root=tmp_path, image=image)
    spec = started(tmp_path, environment=environment, is_operators=is_operators)
    assert spec.image == (None if is_operators else image)
