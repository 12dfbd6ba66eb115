"""What is known before a plan runs: the repository lacks a command, or the host a tool."""

from __future__ import annotations

import pytest

from orchestrator.gates.faults import plan_faults
from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of


def faults(command: str, *, has_module: bool = True) -> list[tuple[str, str]]:
    plan = plan_of({"orchestrator.toml": f"[gates]\ntests = '''{command}'''"}, GateProfile.MINIMAL)
    found = plan_faults(plan, which=lambda _: None, has_module=lambda _: has_module)
    return [(fault.gate, fault.fix_in) for fault in found]


@pytest.mark.parametrize(
    "command",
    ["tool", "tool -x a", "A=1 tool", "env A=1 tool", "cd a && tool", "tool && other", "time tool"],
)
def test_the_first_program_of_a_command_is_looked_for(command):
    assert faults(command) == [("tests", "host")]


@pytest.mark.parametrize(
    "command",
    ["./tool", "a/tool", "$TOOL", "tool || true", "x | tool", "(tool)", "[ -f x ] && tool",
     "exec -a x tool", "tool > x", "'unended", "PATH=. tool", "true && tool", "tool; other"],
)  # fmt: skip
def test_what_only_a_shell_knows_is_no_fault(command):
    assert faults(command) == []


def test_a_module_of_python_is_looked_for_where_python_is():
    plan = plan_of({"pytest.ini": "[pytest]"}, GateProfile.MINIMAL)
    looked: list[str] = []

    def has_module(name: str) -> bool:
        looked.append(name)
        return False

    (fault,) = plan_faults(plan, which=lambda program: program, has_module=has_module)
    assert (fault.fix_in, looked) == ("host", ["pytest"])


def test_a_gate_without_a_command_is_the_repositorys_whatever_the_host_has():
    plan = plan_of({}, GateProfile.STANDARD)
    found = plan_faults(plan, which=lambda program: program)
    assert {(fault.gate, fault.fix_in) for fault in found} == {
        (gate, "repository") for gate in ("typecheck", "lint", "tests", "coverage")
    }


def test_what_does_not_apply_is_no_fault():
    files = {"orchestrator.toml": "[gates]\ntests = {not_applicable = 'x'}"}
    assert not plan_faults(plan_of(files, GateProfile.MINIMAL), which=lambda _: None)
