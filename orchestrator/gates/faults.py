"""The reasons why a plan cannot approve any change, found before anything runs. Pure."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.gates.plan import Plan
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateResult, GateStatus

#: Shell syntax beyond a list of words; the effect of such a command is not known here.
_NOT_PLAIN = re.compile(r"[$`<>(){}*?~#]|\|\||[|;&]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
#: The programs that run the program after them.
_BEFORE = frozenset({"env", "exec", "time", "command", "nice"})
_BUILTINS = frozenset({
    ".", ":", "[", "alias", "cd", "echo", "eval", "exit", "export", "false", "if", "for", "pwd",
    "printf", "read", "set", "source", "test", "trap", "true", "type", "ulimit", "umask", "unset",
    "until", "wait", "while", "case", "!",
})  # fmt: skip


@dataclass(frozen=True)
class PlanFault:
    """Why one gate cannot pass for any change, and what to fix."""

    gate: str
    detail: str
    fix_in: Literal["repository", "host"]

    @property
    def result(self) -> GateResult:
        """The result of its gate, which is not run."""
        status = GateStatus.MISSING if self.fix_in == "repository" else GateStatus.ERRORED
        return GateResult(name=self.gate, status=status, detail=self.detail)


def plan_faults(
    plan: Plan,
    which: Callable[[str], str | None] = shutil.which,
    has_module: Callable[[str], bool] = lambda _: True,
    *,
    is_set_up: bool = False,
) -> tuple[PlanFault, ...]:
    """Return why gates of a plan cannot pass on this host; empty if no reason is known.

    `which` finds a program as the gates would, `has_module` a module of `python3`. Only the first
    program of a command is checked, because its installations are not known before it runs. With
    `is_set_up`, the repository's environment is part of what these two see.
    """
    faults = (fault for gate in plan.gates for fault in _faults(gate, which, has_module))
    found = tuple(dict.fromkeys(faults))
    if not is_set_up:
        return found
    return tuple(
        replace(fault, detail=f"{fault.detail}, nor does the repository's environment install it")
        if fault.fix_in == "host"
        else fault
        for fault in found
    )


def _faults(
    gate: PlannedGate, which: Callable[[str], str | None], has_module: Callable[[str], bool]
) -> Iterator[PlanFault]:
    if gate.command is None:
        if gate.hint:
            yield PlanFault(gate.name, gate.hint, "repository")
        return
    words = _first_words(gate.command)
    if not words or "/" in words[0]:
        return
    where = f" in {gate.folder}" if gate.folder else ""
    if which(words[0]) is None:
        detail = f"`{gate.command}`{where} needs {words[0]}, which is not installed on this host"
        yield PlanFault(gate.name, detail, "host")
    elif words[0] == "python3" and words[1:2] == ["-m"] and not has_module(words[2]):
        detail = f"`{gate.command}`{where} needs the module {words[2]}, which python3 has not"
        yield PlanFault(gate.name, detail, "host")


def _first_words(command: str) -> list[str]:
    """Return the first program of a command and its arguments; empty if it is not plain."""
    for step in command.split("&&"):
        try:
            words = shlex.split(step)
        except ValueError:
            return []
        if _NOT_PLAIN.search(step) or any(word.startswith("PATH=") for word in words):
            return []
        while words and (_ASSIGNMENT.match(words[0]) or words[0] in _BEFORE):
            words = words[1:]
        if words and words[0].startswith("-"):
            return []
        if words and words[0] != "cd":
            return [] if words[0] in _BUILTINS else words
    return []
