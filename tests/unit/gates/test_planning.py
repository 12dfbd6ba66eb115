"""What this host has for the gates of a plan is searched with the `python3` of its own PATH."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.gates.planning import Tools, faults_here
from orchestrator.models import GateProfile
from orchestrator.settings import load_settings
from tests.unit.gates.test_faults import plan_of

MODULE = "module_of_this_test"
PYTHON = """#!/bin/sh
echo >> "$0.calls"
test -e "$0.has"
"""


def test_a_module_that_was_found_is_not_searched_again(tmp_path: Path) -> None:
    program = tmp_path / "python3"
    program.write_text(PYTHON)
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    settings = load_settings({"PATH": path, "ORCHESTRATOR_HOME": str(tmp_path / "home")})
    files = {"orchestrator.toml": f"[gates]\ntests = 'python3 -m {MODULE}'\n"}
    plan = plan_of(files, GateProfile.MINIMAL)
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
