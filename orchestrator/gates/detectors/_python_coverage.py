"""How a Python project measures the coverage of its tests: pytest-cov or coverage.py."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.gates.detectors._python_tools import Tools
from orchestrator.interfaces.gate import GateCommand

_COVERAGE_JSON = "coverage.json"


def coverage_command(
    tools: Tools, runners: tuple[str, ...], program: GateCommand | None
) -> GateCommand | None:
    """Return the command that measures the tests; None if nothing declares how.

    The tests run by some modules, or else by a program of the repository.
    """
    # The tests of a project that declares pytest-cov are run by pytest.
    if source := tools.declared.get("pytest-cov"):
        # Under `coverage run` its measurement and pytest-cov's would overwrite each other.
        command = f"python3 -m pytest --cov --cov-report=json:{_COVERAGE_JSON}"
        return GateCommand(command, report=_COVERAGE_JSON, source=source)
    source = tools.declared.get("coverage", "")
    if not (runners or program) or not source:
        return None
    is_parallel = str(_coverage_run(tools).get("parallel", "")).lower() == "true"
    # The data that `combine` finds must be from this run.
    erase, combine = ("coverage erase && ", "coverage combine && ") if is_parallel else ("", "")
    own = [program.command.removeprefix("python3 ")] if program else []
    first, *rest = [f"-m {runner}" for runner in runners] or own
    run = " && ".join(
        [
            f"coverage run {first}",
            *(f"coverage run{'' if is_parallel else ' -a'} {other}" for other in rest),
        ]
    )
    command = f"{erase}{run} && {combine}coverage json -o {_COVERAGE_JSON}"
    return GateCommand(command, report=_COVERAGE_JSON, source=source)


def _coverage_run(tools: Tools) -> Mapping[str, object]:
    """Return the table `run` of the only file that coverage.py reads: the first with settings."""
    if own := tools.ini.get(".coveragerc"):
        return own.get("run", {})
    for path in ("setup.cfg", "tox.ini"):
        sections = tools.ini.get(path, {})
        if any(name.startswith("coverage:") for name in sections):
            return sections.get("coverage:run", {})
    return tools.table("tool", "coverage", "run")
