"""Runs the gates of a plan in parallel on one tree, each in its own clean checkout."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from orchestrator.egress.proxies import EgressProxies
from orchestrator.egress.proxy import Proxy
from orchestrator.environments.products import copy_products
from orchestrator.gates.plan import Plan
from orchestrator.gates.several import folder_fault, merged, run_all
from orchestrator.gates.tampering import find_tampering
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import FileChange, Gate, GateInput, PlannedGate
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.log import get_logger
from orchestrator.models import (
    AgentType,
    GateProfile,
    GateReport,
    GateResult,
    Stage,
    Verdict,
)
from orchestrator.settings import Settings

#: In an environment all dependencies are installed, so that no gate asks a registry.
_OFFLINE = {
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "npm_config_offline": "true",
    "GOPROXY": "off",
    "CARGO_NET_OFFLINE": "true",
}
#: The limit of one gate command's output; a command that prints more does not pass.
OUTPUT_LIMIT_BYTES = 8 * 2**20

log = get_logger("gates")


@dataclass(frozen=True)
class GateRun:
    """The tree to check, and access to its files; an agent or a person may have made it."""

    agent_id: str
    attempt: int
    agent_type: AgentType
    work_items: tuple[str, ...]
    tree: str
    #: Every changed file, before and after.
    contents: Callable[[], Iterable[FileChange]]
    #: The difference from the base commit, as a patch; read when called.
    diff: Callable[[], str]
    #: A clean checkout of the tree for the gate of this name.
    checkout: Callable[[str], AbstractContextManager[Path]]
    #: The object folders that the checkouts share.
    readable: tuple[Path, ...] = ()
    #: The repository's environment, which the gates use.
    environment: Environment | None = None
    #: Raises an error that must end the run: a kill, a lost lease.
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class GateRunner:
    """Runs gates; `checks` returns the check for the name of a gate."""

    checks: Callable[[str], Gate]
    sandbox: Sandbox
    egress: EgressProxies
    settings: Settings
    #: Whether commands find the tools of the orchestrator's environment: for `orch gates`.
    with_own_tools: bool = False

    def run(
        self,
        plan: Plan,
        case: GateRun,
        *,
        on_result: Callable[[GateResult], None] = lambda _: None,
    ) -> Iterator[GateReport]:
        """Run the stages of the plan in order, yield one report each, stop after a rejection.

        Changes that weaken the checks of the repository are found before a gate runs. The profile
        `strict` rejects them even if all gates pass.
        """
        findings = find_tampering(case.contents(), plan.commands, plan.files)
        for stage in Stage:
            gates = plan.of(stage)
            if not gates:
                continue
            results = self._run(gates, case, on_result)
            has_passed = all(result.status.is_pass for result in results)
            is_tampered = plan.profile is GateProfile.STRICT and bool(findings)
            report = GateReport(
                agent_id=case.agent_id,
                attempt=case.attempt,
                stage=stage,
                profile=plan.profile,
                tree=case.tree,
                plan_digest=plan.digest,
                approved=has_passed and not is_tampered,
                gates=results,
                findings=findings,
                not_judged=plan.not_judged,
            )
            yield report
            if not report.approved:
                return

    def _run(
        self,
        gates: Sequence[PlannedGate],
        case: GateRun,
        on_result: Callable[[GateResult], None],
    ) -> tuple[GateResult, ...]:
        by_name: dict[str, list[PlannedGate]] = {}
        for gate in gates:
            by_name.setdefault(gate.name, []).append(gate)

        def run(commands: Sequence[PlannedGate]) -> GateResult:
            result = merged(run_all(commands, lambda gate, place: self._run_one(gate, case, place)))
            on_result(result)
            return result

        # Each thread runs in the cancel scope of this one, so that a kill ends every gate.
        contexts = [copy_context() for _ in by_name]
        with ThreadPoolExecutor(max_workers=len(by_name)) as pool:
            return tuple(
                pool.map(
                    lambda context, commands: context.run(run, commands),
                    contexts,
                    by_name.values(),
                )
            )

    def _run_one(self, gate: PlannedGate, case: GateRun, place: str) -> GateResult:
        """Run one command of a gate in a clean checkout of its own."""
        case.check()
        check = self.checks(gate.name)
        with case.checkout(place) as checkout, self._egress(gate, check, checkout) as out:
            if fault := folder_fault(checkout, gate):
                return fault
            if case.environment is not None:
                copy_products(case.environment, checkout)
            result = check.evaluate(gate, self._gate_input(case, checkout, out, gate))
            for line in out.drain_refusals() if out else ():
                log.info(line, agentId=case.agent_id, gate=gate.name)
        return result

    def _egress(
        self, gate: PlannedGate, check: Gate, checkout: Path
    ) -> AbstractContextManager[Proxy | None]:
        """Open an egress proxy if the gate needs the network or its check asks a model."""
        if not (gate.network or check.asks_model):
            return nullcontext()
        hosts = self.settings.egress_hosts if gate.network else ()
        return self.egress.opened(checkout, hosts=hosts, with_model=check.asks_model)

    def _gate_input(
        self, case: GateRun, checkout: Path, out: Proxy | None, gate: PlannedGate
    ) -> GateInput:
        socket = out.socket if out else None
        cwd = checkout / gate.folder
        environment = case.environment
        given = environment.variables_in(checkout) if environment else {}
        # A build installs its own requirements anew, apart from those of the package.
        if environment and not gate.network and gate.name != "build":
            given = {**_OFFLINE, **given}
        readable = environment.shown if environment else ()

        def run(
            argv: Sequence[str], env: Mapping[str, str], stdin: bytes, timeout_s: float
        ) -> Completed:
            spec = ProcessSpec(
                agent_id=case.agent_id,
                argv=tuple(argv),
                env={
                    **host_environment(self.settings, with_own_tools=self.with_own_tools),
                    "HOME": str(checkout.parent),
                    "CI": "true",
                    **given,
                    **egress_environment(socket),
                    **env,
                    **_python_path(env, given),
                },
                cwd=cwd,
                stdin=stdin,
                attempt=case.attempt,
                root=checkout.parent,
                readable=(*case.readable, *readable),
                path=environment.path if environment else (),
                has_network=not self.settings.has_egress_proxy,
                egress=socket,
            )
            return run_to_end(
                self.sandbox,
                spec,
                timeout_s=timeout_s,
                output_limit_bytes=OUTPUT_LIMIT_BYTES,
                check=case.check,
            )

        return GateInput(
            case.agent_id,
            case.agent_type,
            cwd,
            case.work_items,
            case.diff,
            run,
            model=out.model if out else None,
        )


def _python_path(*environments: Mapping[str, str]) -> dict[str, str]:
    """Return the joined PYTHONPATH of several environments, the first one first."""
    places = [env["PYTHONPATH"] for env in environments if "PYTHONPATH" in env]
    return {"PYTHONPATH": os.pathsep.join(places)} if places else {}


def verdict_of(
    plan: Plan, tree: str, reports: Sequence[GateReport], *, yolo: bool = False
) -> Verdict:
    """Return the verdict: approved only if every gate of the plan has passed on this tree."""
    statuses = {result.name: result.status for report in reports for result in report.gates}
    has_judged_all = statuses.keys() >= {gate.name for gate in plan.gates}
    return Verdict(
        approved=yolo or (has_judged_all and all(report.approved for report in reports)),
        profile=plan.profile,
        tree=tree,
        plan_digest=plan.digest,
        gates=statuses,
        yolo=yolo,
    )
