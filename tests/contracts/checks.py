"""Gate checks on real checkouts, in a real process sandbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orchestrator.gates.detection import BaseFiles
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.models import AgentType, GateResult, GateStatus, Stage
from orchestrator.plugins import Family
from orchestrator.sandboxes import process
from orchestrator.settings import load_settings

CHECKS = Family("orchestrator.gates.checks")

DETECTORS = Family("orchestrator.gates.detectors")

#: No other plug-in's start-up, and nothing left in the checkout.
PYTHON = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}

PASSED, FAILED, ERRORED = GateStatus.PASSED, GateStatus.FAILED, GateStatus.ERRORED

REPORT = '{"totals": {"num_statements": 4, "percent_covered": 90}}'


def base_files(files: dict[str, str]) -> BaseFiles:
    encoded = {path: text.encode() for path, text in files.items()}
    return BaseFiles(encoded.get, encoded.keys())


def judge(check: str, command: str | None, checkout: Path, **gate) -> GateResult:
    """Judge a checkout by a command in a real process sandbox."""

    def run(argv, env, stdin, timeout_s) -> Completed:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"PATH": path, "HOME": str(checkout), **PYTHON, **env}
        spec = ProcessSpec("a-1", tuple(argv), given, checkout, stdin)
        # Where the pids that a command writes down are the host's.
        sandbox = process.build(load_settings({"ORCHESTRATOR_PROCESS_LEVEL": "shim"}))
        return run_to_end(sandbox, spec, timeout_s=timeout_s, output_limit_bytes=64 * 1024)

    subject = GateInput("a-1", AgentType.WORKER, checkout, ("x",), lambda: "", run)
    defaults = {"timeout_s": 60, "report": "report.json", "minimum": 85}
    stage = Stage.PRE_COMMIT
    planned = PlannedGate(name="g", stage=stage, command=command, **{**defaults, **gate})
    return CHECKS.build(check, None).evaluate(planned, subject)
