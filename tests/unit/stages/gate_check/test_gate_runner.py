"""Which trees a gate runs on, what it is given, and which report follows; its programs are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.gates.plan import Plan
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import FileChange, GateInput, PlannedGate
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.models import AgentType, GateProfile, GateReport, GateResult, GateStatus, Stage
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check.gate_runner import (
    BaseTrees,
    GateRun,
    GateRunner,
    verdict_of,
)

PASSED, FAILED = GateStatus.PASSED, GateStatus.FAILED
MINIMAL, STANDARD, STRICT = GateProfile.MINIMAL, GateProfile.STANDARD, GateProfile.STRICT
TESTS = PlannedGate("tests", Stage.PRE_COMMIT, "run tests", 60)
LINT = PlannedGate("lint", Stage.PRE_COMMIT, "run lint", 60)
REVIEW = PlannedGate("review", Stage.POST_COMMIT, "run review", 60)
#: A change of what configures the tests.
CONFIG = FileChange("pytest.ini", b"[pytest]\n", b"[pytest]\naddopts = -x\n")
SOURCE = FileChange("calc.py", b"1", b"2")


@dataclass
class Checked:
    """The checks, egress and checkouts of one run, and what they were asked for."""

    home: Path
    #: The status of a gate on a tree, `change`, `base` or `mixed`; the others pass.
    ends: dict[tuple[str, str], GateStatus] = field(default_factory=dict)
    asks_model: bool = False
    #: The gate and the tree of each run, and the files beside its checkout.
    runs: list[tuple[str, str]] = field(default_factory=list)
    beside: list[set[str]] = field(default_factory=list)
    models: list[object] = field(default_factory=list)
    opened: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    restored: list[set[str]] = field(default_factory=list)
    proxy: object = None
    #: The sockets of the programs that ran.
    sockets: list[Path | None] = field(default_factory=list)

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        tree = subject.checkout.relative_to(self.home / "trees").parts[0]
        self.runs.append((gate.name, tree))
        self.beside.append({entry.name for entry in subject.checkout.parent.iterdir()})
        self.models.append(subject.model)
        status = self.ends.get((gate.name, tree), PASSED)
        if gate.command and status is not PASSED:
            subject.run(("/bin/sh", "-c", gate.command), {}, b"", 9)
        return GateResult(name=gate.name, status=status, command=gate.command, duration_ms=1)

    def egress(self, _: Path, *, hosts: tuple[str, ...], with_model: bool) -> object:
        self.opened.append((hosts, with_model))
        return nullcontext(self.proxy)

    def runner(self, **settings: str) -> GateRunner:
        sandbox = SimpleNamespace(
            level="shim", image=lambda: "", offers_overlays=False, start=self._start
        )
        return GateRunner(
            checks=lambda _: self,
            sandbox=sandbox,
            egress=SimpleNamespace(opened=self.egress),
            settings=load_settings({"ORCHESTRATOR_HOME": str(self.home), **settings}),
        )

    def _start(self, spec: ProcessSpec, *_: object) -> object:
        """A process that has ended and printed nothing."""
        self.sockets.append(spec.egress)
        return nullcontext(SimpleNamespace(exit_code=1, read=lambda *_: ()))

    def tree(self, kind: str, place: str) -> AbstractContextManager[Path]:
        @contextmanager
        def laid_out() -> Iterator[Path]:
            number = len(self.runs)
            checkout = self.home / "trees" / kind / f"{place}.{number}" / "tree"
            checkout.mkdir(parents=True)
            yield checkout

        return laid_out()

    def case(self, *changes: FileChange, in_place: bool = False, **given: object) -> GateRun:
        def mixed(place: str, is_restored: Callable[[str], bool]) -> AbstractContextManager[Path]:
            self.restored.append({change.path for change in changes if is_restored(change.path)})
            return self.tree("mixed", place)

        trees = BaseTrees("b" * 40, lambda place: self.tree("base", place), mixed)
        facts = {
            "agent_id": "a-1",
            "attempt": 1,
            "agent_type": AgentType.WORKER,
            "work_items": (),
            "tree": "f" * 40,
            "contents": lambda: changes,
            "diff": lambda: "",
            "checkout": lambda place: self.tree("change", place),
            "trees": None if in_place else trees,
        }
        return GateRun(**{**facts, **given})

    def reports(
        self, plan: Plan, case: GateRun | None = None, **settings: str
    ) -> tuple[GateReport, ...]:
        return tuple(self.runner(**settings).run(plan, case or self.case(SOURCE)))


def plan(profile: GateProfile, *gates: PlannedGate, red_base: str = "") -> Plan:
    return Plan(profile, gates, red_base=red_base)


@pytest.fixture
def checked(tmp_path) -> Checked:
    return Checked(tmp_path)


def test_a_stage_without_gates_has_no_report(checked):
    (report,) = checked.reports(plan(MINIMAL, REVIEW))
    assert (report.stage, report.approved) == (Stage.POST_COMMIT, True)


def test_no_stage_runs_after_a_rejection(checked):
    checked.ends["lint", "change"] = FAILED
    (report,) = checked.reports(plan(MINIMAL, LINT, REVIEW), ORCHESTRATOR_RED_BASE="rework")
    assert not report.approved
    assert checked.runs == [("lint", "change")]


def test_each_result_is_told_and_each_command_of_a_gate_runs(checked):
    told = []
    twice = plan(MINIMAL, LINT, PlannedGate("lint", Stage.PRE_COMMIT, "run more", 60), TESTS)
    (report,) = checked.runner().run(twice, checked.case(SOURCE), on_result=told.append)
    assert sorted(checked.runs) == [("lint", "change")] * 2 + [("tests", "change")]
    assert sorted(result.name for result in told) == ["lint", "tests"]
    assert [result.name for result in report.gates] == ["lint", "tests"]


def test_a_kill_ends_the_run_before_a_gate(checked):
    def killed() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        checked.reports(plan(MINIMAL, LINT), checked.case(SOURCE, check=killed))
    assert checked.runs == []


def test_a_folder_that_the_change_removed_fails_its_gate(checked):
    gone = PlannedGate("lint", Stage.PRE_COMMIT, "run lint", 60, folder="web")
    (report,) = checked.reports(plan(MINIMAL, gone))
    assert not report.approved
    assert checked.runs == []


@pytest.mark.parametrize(
    ("profile", "status", "in_place", "trees"),
    [
        (STANDARD, PASSED, False, {"change", "base", "mixed"}),
        (STRICT, PASSED, False, {"change", "base", "mixed"}),
        (MINIMAL, PASSED, False, {"change"}),
        (STANDARD, PASSED, True, {"change"}),
        (STANDARD, GateStatus.MISSING, False, {"change"}),
    ],
)
def test_the_base_judges_a_change_of_its_checks_that_passed(
    checked, profile, status, in_place, trees
):
    checked.ends["lint", "change"] = status
    checked.reports(plan(profile, LINT, TESTS), checked.case(CONFIG, SOURCE, in_place=in_place))
    assert {tree for gate, tree in checked.runs if gate == "tests"} == trees
    assert checked.restored == ([{"pytest.ini"}] if "mixed" in trees else [])


def test_a_base_run_is_used_again_and_a_mixed_tree_is_new_each_time(checked):
    runner = checked.runner()
    for _ in range(2):
        list(runner.run(plan(STANDARD, TESTS), checked.case(CONFIG)))
    assert sorted(tree for _, tree in checked.runs) == ["base", *["change"] * 2, *["mixed"] * 2]


@pytest.mark.parametrize(
    ("profile", "may_edit", "is_approved"),
    [(STANDARD, (), True), (STRICT, (), False), (STRICT, ("pytest.ini",), True)],
)
def test_strict_rejects_findings_that_the_request_does_not_allow(
    checked, profile, may_edit, is_approved
):
    case = checked.case(CONFIG, may_edit=may_edit)
    (report,) = checked.reports(plan(profile, LINT), case)
    assert [finding.path for finding in report.findings] == ["pytest.ini"]
    assert report.approved == is_approved


def test_strict_approves_a_change_without_findings_and_never_a_failed_gate(checked):
    assert checked.reports(plan(STRICT, LINT))[0].approved
    checked.ends["lint", "change"] = FAILED
    assert not checked.reports(plan(STRICT, LINT))[0].approved


@pytest.mark.parametrize(
    ("of_repository", "of_operator", "in_place", "runs_base"),
    [
        ("", "refuse", False, True),
        ("", "rework", False, False),
        ("rework", "refuse", False, False),
        ("refuse", "rework", False, True),
        ("refuse", "refuse", True, False),
    ],
)
def test_the_base_of_a_failed_gate_runs_if_the_policy_says_so(
    checked, of_repository, of_operator, in_place, runs_base
):
    checked.ends |= {("lint", "change"): FAILED, ("lint", "base"): FAILED}
    chosen = plan(MINIMAL, LINT, red_base=of_repository)
    case = checked.case(SOURCE, in_place=in_place)
    (report,) = checked.reports(chosen, case, ORCHESTRATOR_RED_BASE=of_operator)
    assert (("lint", "base") in checked.runs) == runs_base
    (result,) = report.gates
    assert result.status is (GateStatus.ERRORED if runs_base else FAILED)


@pytest.mark.parametrize(("may_edit", "is_charged"), [((), True), (("*.ini",), False)])
def test_only_edits_that_decide_and_are_not_allowed_leave_a_red_gate_uncompared(
    checked, may_edit, is_charged
):
    checked.ends |= {("tests", "change"): FAILED, ("tests", "base"): FAILED}
    edited = FileChange("tests/test_a.py", b"def test_a(): assert 1\n", b"def test_b(): pass\n")
    case = checked.case(CONFIG, edited, may_edit=may_edit)
    runner = checked.runner(ORCHESTRATOR_RED_BASE="compare")
    chosen = plan(STANDARD, TESTS)
    found = find_tampering(tuple(case.contents()), chosen.commands, chosen.files, chosen.sources)
    policy = runner._red_base(chosen, case, found)
    assert policy.edits == (["pytest.ini: check-config-edited"] if is_charged else [])


def test_the_commands_of_a_base_run_beforehand_and_are_remembered(checked):
    missing = PlannedGate("build", Stage.PRE_COMMIT, None, 60, hint="none")
    chosen = plan(STANDARD, LINT, TESTS, missing)
    runner = checked.runner()
    for _ in range(2):
        runner.remember_base(chosen, checked.case(SOURCE))
    assert sorted(checked.runs) == [("lint", "base"), ("tests", "base")]
    runner.remember_base(plan(STANDARD, LINT, red_base="rework"), checked.case(SOURCE))
    assert len(checked.runs) == 2


@pytest.mark.parametrize(
    ("gate", "in_place", "is_recorded"),
    [(TESTS, False, True), (LINT, False, False), (TESTS, True, False)],
)
def test_tests_are_recorded_beside_a_checkout_that_is_none_of_a_person(
    checked, gate, in_place, is_recorded
):
    checked.reports(plan(MINIMAL, gate), checked.case(SOURCE, in_place=in_place))
    (beside,) = checked.beside
    assert ("outcomes" in beside) == is_recorded


NETWORK = PlannedGate("lint", Stage.PRE_COMMIT, "run lint", 60, network=True)


@pytest.mark.parametrize(
    ("gate", "asks_model", "opened"),
    [
        (LINT, False, []),
        (NETWORK, False, [(("one.test:443",), False)]),
        (LINT, True, [((), True)]),
        (NETWORK, True, [(("one.test:443",), True)]),
    ],
)
def test_only_a_gate_that_needs_it_has_a_way_out(checked, gate, asks_model, opened):
    checked.asks_model = asks_model
    checked.reports(plan(MINIMAL, gate), ORCHESTRATOR_EGRESS_HOSTS="one.test")
    assert checked.opened == opened


def test_a_gate_that_asks_a_model_gets_its_access_and_its_refusals_are_read(checked):
    checked.asks_model = True
    checked.ends["lint", "change"] = FAILED
    drained = []
    checked.proxy = SimpleNamespace(
        socket=checked.home / "s",
        model="the access",
        drain_refusals=lambda: drained.append(1) or ["refused one.test"],
    )
    checked.reports(plan(MINIMAL, LINT, red_base="rework"))
    assert checked.models == ["the access"]
    assert checked.sockets == [checked.home / "s"]
    assert drained == [1]


def test_an_environment_is_put_into_each_checkout(checked, monkeypatch):
    provided = []
    monkeypatch.setattr(
        "orchestrator.stages.gate_check.gate_runner.provide_products",
        lambda environment, checkout, *_: provided.append((environment, checkout.name)),
    )
    environment = Environment(root=checked.home)
    checked.reports(plan(MINIMAL, LINT), checked.case(SOURCE, environment=environment))
    assert provided == [(environment, "tree")]


def report(*, approved: bool, name: str = "lint") -> GateReport:
    result = GateResult(name=name, status=PASSED, command="x", duration_ms=1)
    return GateReport(
        agent_id="a-1",
        attempt=1,
        stage=Stage.PRE_COMMIT,
        profile=STRICT,
        tree="f" * 40,
        plan_digest="d",
        approved=approved,
        gates=(result,),
    )


@pytest.mark.parametrize(
    ("reports", "yolo", "is_approved"),
    [
        ([report(approved=True)], False, True),
        ([report(approved=False)], False, False),
        ([report(approved=False)], True, True),
        ([report(approved=True, name="tests")], False, False),
        ([], False, False),
    ],
)
def test_a_verdict_approves_only_if_each_planned_gate_has_approved(reports, yolo, is_approved):
    verdict = verdict_of(plan(STRICT, LINT), "f" * 40, reports, yolo=yolo)
    assert verdict.approved == is_approved
    assert verdict.yolo == yolo
