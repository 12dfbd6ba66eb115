"""A plan of gates as text for people, and as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.output.render import not_judged_line
from orchestrator.cli.output.text import say
from orchestrator.gates.faults import PlanFault
from orchestrator.gates.plan import Plan
from orchestrator.interfaces.gate import PlannedGate


@dataclass(frozen=True)
class ShownEnvironment:
    """The environment in which the gates of a plan would run."""

    setup: tuple[str, ...] = ()
    image: str = ""
    #: Why no program can run in it on this host, and what to do; empty if nothing is known.
    lack: str = ""


def plan_document(
    plan: Plan,
    faults: Sequence[PlanFault],
    warnings: Sequence[str],
    environment: ShownEnvironment = ShownEnvironment(),
) -> dict[str, Any]:
    """Return the JSON document of a plan."""
    gates: dict[str, dict[str, Any]] = {}
    for gate in plan.gates:
        entry = gates.setdefault(
            gate.name, {"name": gate.name, "stage": gate.stage.value, "commands": []}
        )
        if gate.command:
            entry["commands"].append(_command(gate))
        elif gate.not_applicable:
            entry["notApplicable"] = gate.not_applicable
        elif gate.hint:
            entry["missing"] = gate.hint
    return {
        "profile": plan.profile.value,
        "planDigest": plan.digest,
        "setup": list(environment.setup),
        "image": environment.image or None,
        "environmentError": environment.lack or None,
        "approvable": not faults and not environment.lack,
        "gates": list(gates.values()),
        "notJudged": [entry.wire() for entry in plan.not_judged],
        "faults": [
            {"gate": fault.gate, "detail": fault.detail, "fixIn": fault.fix_in} for fault in faults
        ],
        "warnings": list(warnings),
    }


def print_plan(
    plan: Plan,
    faults: Sequence[PlanFault],
    warnings: Sequence[str],
    environment: ShownEnvironment = ShownEnvironment(),
) -> None:
    """Print a plan: set-up, the commands of each gate, unchecked paths, and faults to repair."""
    say(f"profile {plan.profile}")
    if environment.image:
        say(f"image {environment.image}")
    if environment.setup:
        say("\nset-up of the environment, once for all agents and gates")
        for step in environment.setup:
            say(f"  $ {step}")
    for name in dict.fromkeys(gate.name for gate in plan.gates):
        of_name = [gate for gate in plan.gates if gate.name == name]
        say(f"\n{name} ({of_name[0].stage})")
        for gate in of_name:
            say(f"  {_line(gate)}")
    if plan.not_judged:
        say("\nfound, but not judged")
        for entry in plan.not_judged:
            say(f"  {not_judged_line(entry)}")
    for warning in warnings:
        say(f"\nwarning: {warning}")
    _print_faults(faults, environment.lack)


def _print_faults(faults: Sequence[PlanFault], lack: str) -> None:
    if faults or lack:
        say("\nno change can be approved until this is fixed")
    if lack:
        say(f"  for the environment: {lack}")
    for fault in faults:
        say(f"  in the {fault.fix_in}, for {fault.gate}: {fault.detail}")


def _line(gate: PlannedGate) -> str:
    if gate.not_applicable:
        return f"not applicable: {gate.not_applicable}"
    if gate.command is None:
        return "missing" if gate.hint else "a review by another agent"
    parts = [f"$ {gate.command}", f"in {gate.folder or 'the root'}"]
    if gate.source:
        parts.append(f"because of {gate.source}")
    if gate.report:
        parts.append(f"at least {gate.minimum:g} % in {gate.report}")
    return "  ".join(parts)


def _command(gate: PlannedGate) -> dict[str, Any]:
    facts = {
        "command": gate.command,
        "folder": gate.folder,
        "because": gate.source,
        "timeoutS": gate.timeout_s,
        "network": gate.network,
        "report": gate.report,
        "minimum": gate.minimum if gate.report else None,
    }
    return {name: value for name, value in facts.items() if value is not None}
