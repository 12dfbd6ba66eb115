"""Runs the gates of a plan in parallel on one tree, each in its own clean checkout."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.egress.proxies import EgressProxies
from orchestrator.egress.proxy import Proxy
from orchestrator.environments.products import provide_products
from orchestrator.gates.base_records import BaseRecords
from orchestrator.gates.check_files import check_files
from orchestrator.gates.plan import Plan
from orchestrator.gates.reporters import Recorder
from orchestrator.gates.several import folder_fault, merged, run_all
from orchestrator.gates.tampering import allowed, find_tampering
from orchestrator.host.cancel_scope import side_by_side
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import FileChange, Gate, GateInput, PlannedGate
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.log import get_logger
from orchestrator.models import (
    AgentType,
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    Stage,
    Verdict,
)
from orchestrator.settings import Settings
from orchestrator.stages.gate_check.base_coverage import base_coverage, measuring_files
from orchestrator.stages.gate_check.base_tests import (
    PROFILES,
    TEST_GATES,
    BaseRuns,
    BaseTests,
    TestRun,
)
from orchestrator.stages.gate_check.gate_program import GateProgram
from orchestrator.stages.gate_check.gate_trace import Tracing, traced
from orchestrator.stages.gate_check.recording import Recording
from orchestrator.stages.gate_check.red_base import DECIDING, RedBase
from orchestrator.workspace.worktree import layers_of

log = get_logger("gates")


@dataclass(frozen=True)
class BaseTrees:
    """The checkouts with which the base's own tests judge a change."""

    #: The id of the base commit.
    base: str
    #: A clean checkout of the base, for the gate of this name.
    of_base: Callable[[str], AbstractContextManager[Path]]
    #: A clean checkout of the change in which some paths are as in the base.
    mixed: Callable[[str, Callable[[str], bool]], AbstractContextManager[Path]]


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
    #: Checkouts of the base, which the base's tests need; None if gates run in place.
    trees: BaseTrees | None = None
    #: Patterns of paths whose findings do not block, because the request says so.
    may_edit: tuple[str, ...] = ()
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
    base_runs: BaseRuns = field(default_factory=BaseRuns)

    @property
    def base_records(self) -> BaseRecords:
        """The runs of gates on base commits that this host remembers."""
        return BaseRecords(self.settings, self.sandbox.level, self.sandbox.image)

    def run(
        self,
        plan: Plan,
        case: GateRun,
        *,
        on_result: Callable[[GateResult], None] = lambda _: None,
    ) -> Iterator[GateReport]:
        """Run the stages of the plan in order, yield one report each, stop after a rejection.

        Changes that weaken the checks of the repository are found before a gate runs. The base's
        own tests judge the change after its test gates passed. The profile `strict` rejects a
        change with findings even if all gates pass, except those that the request allows.

        A command that fails runs on the base too, unless the policy is `rework`: only then, so that
        neither the start of an agent nor a change that passes waits for it.
        """
        changes = tuple(case.contents())
        findings = find_tampering(changes, plan.commands, plan.files, plan.sources)
        not_judged = plan.not_judged
        tracing = Tracing(changes, plan, case.may_edit, is_in_place=case.trees is None)
        red_base = self._red_base(plan, case, findings)
        for stage in Stage:
            gates = plan.of(stage)
            if not gates:
                continue
            runs = self._run(gates, case, on_result, red_base, tracing)
            results = tuple(merged(pairs) for pairs in _results(runs))
            has_passed = all(result.status.is_pass for result in results)
            reads = [(gate.name, run.reads) for pairs in runs for gate, run in pairs]
            findings += tracing.findings(reads, known=findings)
            not_judged += tracing.not_traced(reads)
            if has_passed and case.trees and plan.profile in PROFILES:
                findings += self._as_on_base(plan, case, case.trees, changes, runs, findings)
            shown, blocking = allowed(findings, case.may_edit)
            is_tampered = plan.profile is GateProfile.STRICT and blocking
            report = GateReport(
                agent_id=case.agent_id,
                attempt=case.attempt,
                stage=stage,
                profile=plan.profile,
                tree=case.tree,
                plan_digest=plan.digest,
                approved=has_passed and not is_tampered,
                gates=results,
                findings=shown,
                not_judged=not_judged,
            )
            yield report
            if not report.approved:
                return

    def remember_base(self, plan: Plan, case: GateRun) -> None:
        """Run each command of the plan on the base of a case, unless this host remembers its end.

        All commands run in parallel. The case needs its `trees`; its own tree is not read.
        """
        red_base = self._red_base(plan, case)
        if red_base is not None:
            side_by_side(red_base.record_of, [gate for gate in plan.gates if gate.command])

    def _red_base(
        self, plan: Plan, case: GateRun, findings: Sequence[Finding] = ()
    ) -> RedBase | None:
        """Return the policy for gates that fail on the base too; None if the base does not run."""
        policy, trees = plan.red_base or self.settings.red_base, case.trees
        if trees is None or policy == "rework":
            return None

        def run(gate: PlannedGate) -> TestRun:
            # Commands of one gate may run side by side.
            part = zlib.crc32(f"{gate.folder}\0{gate.command}".encode())
            return self._run_one(gate, case, trees.of_base(f"{gate.name}.base.{part:x}"))

        edits = [
            f"{finding.path}: {finding.kind}"
            for finding in findings
            if finding.kind in DECIDING and allowed([finding], case.may_edit)[1]
        ]
        return RedBase(
            policy=policy,
            records=self.base_records.of_one_run(),
            base=trees.base,
            environment=case.environment,
            run=run,
            check=case.check,
            may_edit=case.may_edit,
            edits=edits,
        )

    def _as_on_base(
        self,
        plan: Plan,
        case: GateRun,
        trees: BaseTrees,
        changes: tuple[FileChange, ...],
        runs: Sequence[Sequence[tuple[PlannedGate, TestRun]]],
        findings: Sequence[Finding],
    ) -> tuple[Finding, ...]:
        """Return what the base's own tests and its measurement of coverage say of the change."""
        judged = check_files(changes, plan.commands, plan.files)
        measuring = measuring_files(judged, findings)

        def run_mixed(gate: PlannedGate, restored: Container[str]) -> TestRun:
            place = f"{gate.name}.mixed"
            return self._run_one(gate, case, trees.mixed(place, lambda path: path in restored))

        def run_on(gate: PlannedGate, tree: str) -> TestRun:
            if tree == "mixed":
                return run_mixed(gate, judged)
            return self.base_runs.get(
                trees.base,
                gate,
                lambda: self._run_one(gate, case, trees.of_base(f"{gate.name}.{tree}")),
            )

        ended = [pair for pairs in runs for pair in pairs]
        tests = BaseTests(plan.profile, judged, changes, run_on).findings(ended)
        measured = base_coverage(ended, measuring, lambda gate: run_mixed(gate, measuring))
        return (*tests, *measured)

    def _run(
        self,
        gates: Sequence[PlannedGate],
        case: GateRun,
        on_result: Callable[[GateResult], None],
        red_base: RedBase | None,
        tracing: Tracing,
    ) -> tuple[tuple[tuple[PlannedGate, TestRun], ...], ...]:
        by_name: dict[str, list[PlannedGate]] = {}
        for gate in gates:
            by_name.setdefault(gate.name, []).append(gate)

        def run(commands: Sequence[PlannedGate]) -> tuple[tuple[PlannedGate, TestRun], ...]:
            runs: list[TestRun] = []

            def run_one(gate: PlannedGate, place: str) -> GateResult:
                runs.append(self._run_one(gate, case, case.checkout(place), tracing))
                return runs[-1].result

            ended = run_all(commands, run_one)
            # A command that did not run has a result and no run.
            by_result = {id(run.result): run for run in runs}
            pairs = tuple(
                (gate, by_result.get(id(result), TestRun(result))) for gate, result in ended
            )
            if red_base is not None:
                pairs = tuple(
                    (gate, red_base.judged(gate, run, tracing.edits(gate.name, run.reads)))
                    for gate, run in pairs
                )
            on_result(merged([(gate, run.result) for gate, run in pairs]))
            return pairs

        return side_by_side(run, list(by_name.values()))

    def _run_one(
        self,
        gate: PlannedGate,
        case: GateRun,
        place: AbstractContextManager[Path],
        tracing: Tracing | None = None,
    ) -> TestRun:
        """Run one command in a clean checkout of its own, with `tracing` if it is the change's."""
        case.check()
        check = self.checks(gate.name)
        with place as checkout, self._egress(gate, check, checkout) as out:
            if fault := folder_fault(checkout, gate):
                return TestRun(fault)
            if case.environment is not None:
                layers = layers_of(checkout.parent)
                provide_products(case.environment, checkout, layers, self.sandbox.offers_overlays)
            subject = self._gate_input(case, checkout, out, gate, check)
            recorder = None
            if gate.name in TEST_GATES and case.trees:
                # Beside the checkout, in the folder that the command may write to.
                recorder = Recorder.install(checkout.parent / "outcomes")
            with traced(tracing, checkout, subject.run) as trace:
                recording = Recording(recorder, trace.run)
                result = check.evaluate(gate, replace(subject, run=recording.run))
                for line in out.drain_refusals() if out else ():
                    log.info(line, agentId=case.agent_id, gate=gate.name)
                return recording.test_run(result, checkout, trace.reads())

    def _egress(
        self, gate: PlannedGate, check: Gate, checkout: Path
    ) -> AbstractContextManager[Proxy | None]:
        """Open an egress proxy if the gate needs the network or its check asks a model."""
        if not (gate.network or check.asks_model):
            return nullcontext()
        hosts = self.settings.egress_hosts if gate.network else ()
        return self.egress.opened(checkout, hosts=hosts, with_model=check.asks_model)

    def _gate_input(
        self, case: GateRun, checkout: Path, out: Proxy | None, gate: PlannedGate, check: Gate
    ) -> GateInput:
        program = GateProgram(
            agent_id=case.agent_id,
            attempt=case.attempt,
            gate=gate,
            checkout=checkout,
            egress=out.socket if out else None,
            readable=case.readable,
            environment=case.environment,
            check=case.check,
            is_operators=check.asks_model,
            is_in_place=case.trees is None,
        )
        return GateInput(
            case.agent_id,
            case.agent_type,
            checkout / gate.folder,
            case.work_items,
            case.diff,
            program.runner(self.sandbox, self.settings, with_own_tools=self.with_own_tools),
            model=out.model if out else None,
        )


def _results(
    runs: Sequence[Sequence[tuple[PlannedGate, TestRun]]],
) -> Iterator[tuple[tuple[PlannedGate, GateResult], ...]]:
    for pairs in runs:
        yield tuple((gate, run.result) for gate, run in pairs)


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
