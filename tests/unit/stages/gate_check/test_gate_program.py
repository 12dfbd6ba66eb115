"""`orchestrator.stages.gate_check.gate_program`: where a gate keeps its temporary files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import Stage
from orchestrator.stages.gate_check.gate_program import GateProgram
from tests.sandbox.levels import sandbox_at, settings_at

SHOWN = 'printf %s "${TMPDIR-/tmp}"; touch "${TMPDIR-/tmp}/made-by-a-gate"'


def run_at(level: str, root: Path, **more: object):
    """Return the function that runs a program of a gate whose checkout is in a folder."""
    home = root / "home"
    checkout = root / "place" / "tree"
    checkout.mkdir(parents=True)
    gate = PlannedGate("tests", Stage.PRE_COMMIT, "true", 60.0)
    facts = {"egress": None, "readable": (), "environment": None, "check": lambda: None, **more}
    program = GateProgram(agent_id="a1", attempt=1, gate=gate, checkout=checkout, **facts)
    return program.runner(sandbox_at(level, home), settings_at(level, home), with_own_tools=False)


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
