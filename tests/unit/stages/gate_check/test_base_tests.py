"""Each rule by which the second judge compares two runs; `tests/unit/gates` runs real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from orchestrator.gates.check_files import CheckFile
from orchestrator.gates.outcomes import Outcome
from orchestrator.interfaces.gate import FileChange, PlannedGate
from orchestrator.models import Finding, GateProfile, GateStatus
from orchestrator.stages.gate_check import base_tests
from orchestrator.stages.gate_check.base_tests import BaseTests
from tests.unit.stages.gate_check.runs import gate, run

PASSED, FAILED, RED = GateStatus.PASSED, GateStatus.FAILED, GateStatus.RED_BEFORE
TEST = {"tests/test_a.py": CheckFile.TEST}


@dataclass
class Second:
    """The second judge of one change; `asked` are the trees on which it ran the command."""

    base: base_tests.TestRun = field(default_factory=lambda: run(tests={"a::x": "passed"}))
    mixed: base_tests.TestRun = field(default_factory=lambda: run(tests={"a::x": "passed"}))
    judged: Mapping[str, CheckFile] = field(default_factory=lambda: TEST)
    changes: tuple[FileChange, ...] = ()
    profile: GateProfile = GateProfile.STANDARD
    asked: list[str] = field(default_factory=list)

    def findings(
        self, now: base_tests.TestRun, of: PlannedGate | None = None
    ) -> tuple[Finding, ...]:
        def run_on(_: PlannedGate, tree: str) -> base_tests.TestRun:
            self.asked.append(tree)
            return {"base": self.base, "mixed": self.mixed}[tree]

        judge = BaseTests(self.profile, self.judged, self.changes, run_on)
        return judge.findings([(of or gate(), now)])

    def said(self, now: base_tests.TestRun) -> list[tuple[str, str]]:
        return [(finding.kind, finding.detail) for finding in self.findings(now)]


def test_the_number_of_tests_is_that_of_the_records_if_there_are_any():
    recorded = {"a::x": "passed", "a::y": "failed", "a::z": "skipped"}
    assert run(tests=recorded, ran=9).ran == 2
    assert run(ran=3).ran == 3
    assert run().ran is None


@pytest.mark.parametrize(
    ("of", "status", "is_judged"),
    [
        (gate(), PASSED, True),
        (gate(), RED, True),
        (gate(), FAILED, False),
        (gate(), GateStatus.NOT_APPLICABLE, False),
        (gate("integration"), PASSED, True),
        (gate("lint"), PASSED, False),
        (gate(command=None), PASSED, False),
    ],
)
def test_only_commands_of_tests_that_passed_are_judged(of, status, is_judged):
    second = Second(profile=GateProfile.STRICT)
    second.findings(run(status, {"a::x": "passed"}), of)
    assert second.asked == (["base", "mixed"] if is_judged else [])


PLAIN = run(tests={"a::x": "passed"})


@pytest.mark.parametrize(
    ("of", "judged", "now", "asked"),
    [
        (gate(), (), PLAIN, []),
        (gate(), ("tests/a.py",), PLAIN, ["base", "mixed"]),
        (gate(folder="web"), ("web/test/a.js",), PLAIN, ["base", "mixed"]),
        (gate(folder="web"), ("package.json",), PLAIN, ["base", "mixed"]),
        (gate(folder="web/sub"), ("web/conftest.py",), PLAIN, ["base", "mixed"]),
        (gate(folder="web"), ("api/test/a.js", "webs/test/a.js"), PLAIN, []),
        (
            gate(folder="web"),
            ("api/test/a.js",),
            run(tests={"a::x": "passed"}, reads=["api/test/a.js"]),
            ["base", "mixed"],
        ),
        (gate(), (), run(tests={"a::x": "passed", "a::y": "skipped"}), ["base"]),
        (gate(), (), run(tests={"a::x": "passed"}, has_ended=False), ["base"]),
        (gate(), (), run(), ["base"]),
        (gate(command="make test", script="go test ./..."), (), run(), ["base"]),
        (gate(command="make test"), (), run(), []),
    ],
)
def test_trees_run_only_if_files_of_checks_differ_or_a_record_says_too_little(
    of, judged, now, asked
):
    second = Second(judged=dict.fromkeys(judged, CheckFile.TEST))
    second.findings(now, of)
    assert second.asked == asked


def test_strict_always_runs_the_base():
    second = Second(judged={}, profile=GateProfile.STRICT)
    assert second.findings(PLAIN) == ()
    assert second.asked == ["base"]


BROKEN = run(FAILED, detail="exit code 1\nmore")


@pytest.mark.parametrize(
    ("base", "mixed", "is_found"),
    [
        (run(ran=0), BROKEN, False),
        (run(FAILED), BROKEN, False),
        (run(), BROKEN, True),
        (run(FAILED, ran=2), BROKEN, True),
        (run(tests={"a::x": "skipped"}), BROKEN, False),
    ],
)
def test_a_base_without_tests_judges_nothing(base, mixed, is_found):
    found = Second(base, mixed).said(run(ran=2))
    text = "tests with the base's own tests and configuration: failed, exit code 1"
    assert (("base-tests", text) in found) == is_found
    assert is_found or not found


@pytest.mark.parametrize(
    ("mixed", "how"),
    [
        ({"a::x": "failed"}, "fails"),
        ({"a::x": "skipped"}, "is skipped"),
        ({"a::z": "passed"}, "does not run"),
    ],
)
def test_a_test_of_the_base_that_the_changed_sources_fail_is_named_once(mixed, how):
    found = Second(mixed=run(FAILED, mixed)).said(run(tests={"a::z": "passed"}))
    text = f"x, a test as the base has it, {how} on the changed sources"
    assert found == [("base-tests", text)]


@pytest.mark.parametrize(
    ("base", "now", "how"),
    [
        ({"a::x": "passed"}, {"a::z": "passed"}, "is no longer run"),
        ({"a::x": "passed"}, {"a::x": "skipped"}, "is skipped"),
        ({"a::x": "passed"}, {"a::x": "failed"}, "fails"),
        ({"a::x": "failed"}, {"a::x": "failed"}, ""),
        ({"a::x": "passed"}, {"b::x": "passed"}, ""),
    ],
)
def test_a_test_that_the_change_itself_does_not_pass_is_lost(base, now, how):
    found = Second(run(tests=base), judged={}, profile=GateProfile.STRICT).said(run(tests=now))
    assert found == ([("test-lost", f"x, which ran on the base, {how}")] if how else [])


def test_what_is_red_before_and_after_is_not_charged():
    both: dict[str, Outcome] = {"a::x": "failed", "a::y": "passed"}
    second = Second(run(FAILED, both), run(FAILED, both))
    assert second.findings(run(RED, both)) == ()
    gone = Second(run(FAILED, both), run(FAILED, {"a::x": "failed"}))
    assert [kind for kind, _ in gone.said(run(RED, both))] == ["base-tests"]


def test_a_failure_of_a_red_command_is_compared_elsewhere():
    second = Second(run(FAILED, {"a::x[1]": "passed"}), judged={}, profile=GateProfile.STRICT)
    assert second.findings(run(RED, {"a::x[2]": "failed"})) == ()


@pytest.mark.parametrize(
    ("base", "mixed", "now", "found"),
    [
        (run(ran=3), run(ran=3), run(ran=3), []),
        (run(ran=3), run(ran=3), run(RED, ran=3), []),
        (run(), run(), run(), []),
        (
            run(ran=3),
            run(GateStatus.TIMED_OUT),
            run(ran=4),
            [("base-tests", "tests with the base's own tests and configuration: timed out, -")],
        ),
        (
            run(ran=3),
            run(FAILED, detail="y" * 300),
            run(ran=3),
            [
                (
                    "base-tests",
                    f"tests with the base's own tests and configuration: failed, {'y' * 200}",
                )
            ],
        ),
        (
            run(ran=3),
            run(ran=3),
            run(ran=2),
            [("test-lost", "tests ran 3 tests on the base, and 2 now")],
        ),
        (
            run(ran=3),
            run(ran=3),
            run(),
            [("test-lost", "tests ran 3 tests on the base, and does not tell how many now")],
        ),
        (
            run(tests={"a::x": "passed"}),
            run(tests={"a::x": "passed"}),
            run(ran=1),
            [
                (
                    "test-lost",
                    "the runner of tests recorded its tests on the base, and records none now",
                )
            ],
        ),
        (
            run(tests={"a::x": "passed"}),
            run(tests={"a::x": "passed"}),
            run(RED, ran=1),
            [
                (
                    "test-lost",
                    "the runner of tests recorded its tests on the base, and records none now",
                )
            ],
        ),
        (run(ran=3), run(ran=3), run(RED, {"a::x": "passed", "a::y": "passed", "b": "passed"}), []),
    ],
)
def test_without_records_the_numbers_and_the_end_are_compared(base, mixed, now, found):
    assert Second(base, mixed).said(now) == found


@pytest.mark.parametrize(("base_ended", "now_ended"), [(True, True), (True, False), (False, False)])
def test_a_runner_that_ends_early_only_on_the_change_is_reported(base_ended, now_ended):
    tests: dict[str, Outcome] = {"a::x": "passed"}
    base = run(tests=tests, has_ended=base_ended)
    second = Second(base, judged={}, profile=GateProfile.STRICT)
    found = second.said(run(tests=tests, has_ended=now_ended))
    cut = ("test-lost", "the runner of tests was ended before its last test")
    assert found == ([cut] if base_ended and not now_ended else [])


CONFIG = FileChange("z.ini", b"x = 1", b"x = 2")
OTHER = FileChange("tests/a.py", b"def y(): pass", b"")
MATCHING = FileChange("tests/b.py", b"def x(): pass", b"")
SOURCE = FileChange("src.py", b"def x(): pass", b"")
NEW = FileChange("tests/0.py", None, b"")
JUDGED = {
    "z.ini": CheckFile.CONFIG,
    "tests/0.py": CheckFile.TEST,
    "tests/a.py": CheckFile.TEST,
    "tests/b.py": CheckFile.TEST,
}


@pytest.mark.parametrize(
    ("changes", "name", "path"),
    [
        ((NEW, OTHER, SOURCE, MATCHING), "a::C::x", "tests/b.py"),
        ((NEW, OTHER, SOURCE, MATCHING), "m::x/sub", "tests/b.py"),
        ((OTHER, CONFIG), "a::z", "z.ini"),
        ((NEW, OTHER), "a::z", "tests/0.py"),
    ],
)
def test_a_lost_test_stands_at_its_own_file_or_else_at_what_configures_it(changes, name, path):
    judged = {change.path: JUDGED[change.path] for change in changes if change.path in JUDGED}
    second = Second(run(tests={name: "passed"}), run(FAILED, {"other": "passed"}), judged, changes)
    (found,) = second.findings(run(tests={name: "passed"}))
    assert found.path == path


def test_a_fault_of_a_whole_run_stands_at_what_configures_it():
    judged = {"z.ini": CheckFile.CONFIG, "tests/a.py": CheckFile.TEST}
    second = Second(run(ran=1), BROKEN, judged, (OTHER, CONFIG))
    assert [finding.path for finding in second.findings(run(ran=1))] == ["z.ini"]
    alone = Second(run(ran=2), judged={}, profile=GateProfile.STRICT)
    assert [finding.path for finding in alone.findings(run(ran=1))] == [""]


@pytest.mark.parametrize("number", [50, 60])
def test_at_most_fifty_findings_are_told_and_how_many_more_there_are(number):
    lost: dict[str, Outcome] = {f"a::t{each}": "passed" for each in range(number)}
    second = Second(run(tests=lost), judged={}, profile=GateProfile.STRICT)
    found = second.findings(run(tests={"a::z": "passed"}))
    assert len(found) == (50 if number == 50 else 51)
    assert (found[-1].detail == "and 10 more") == (number == 60)


EXAMPLE = b"'''\n>>> 1 + 1\n2\n'''\n"
DOCUMENTED = FileChange("web/calc.py", EXAMPLE, b"")


@pytest.mark.parametrize(
    ("tests", "judged", "is_lost"),
    [
        (["calc.py::calc.add"], (), True),
        (["other.py::calc.add"], (), False),
        (["calc.py"], (), False),
        (["calc.py::calc.add"], ("web/calc.py",), False),
        (None, (), False),
    ],
)
def test_an_example_that_is_gone_is_lost_if_examples_of_its_file_are_tests(tests, judged, is_lost):
    now = run(tests=None if tests is None else dict.fromkeys(tests, "passed"))
    second = Second(
        base=now,
        mixed=now,
        judged=dict.fromkeys(judged, CheckFile.TEST),
        changes=(DOCUMENTED, FileChange("tests/more.py", None, b"")),
    )
    lost = ("test-lost", "the example 1 + 1 with its result is gone")
    assert second.said(now) == ([lost] if is_lost else [])
