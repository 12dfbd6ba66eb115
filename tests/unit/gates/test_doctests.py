"""`orchestrator.gates.doctests`: tests inside of sources, which the base's tests do not show."""

from __future__ import annotations

import pytest

from orchestrator.gates.doctests import lost_examples
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import GateProfile
from tests.unit.gates.cheats.judging import Case, Judge, Repository

_TEXT = (
    'def add(a, b):\n    """Add.\n\n    >>> add(1, 2)\n    3\n    >>> add(0, 0)\n    0\n    """\n'
    "    return a + b\n"
)
BASE = Repository(
    "doctests",
    {
        "calc.py": _TEXT,
        "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
        "tests/test_a.py": "def test_a():\n    assert True\n",
    },
)
EDITS = {
    "another result": ("    3\n", "    -1\n"),
    "removed": ("    >>> add(1, 2)\n    3\n", ""),
    "skipped": ("add(1, 2)\n", "add(1, 2)  # doctest: +SKIP\n"),
}
#: Wrong only for the first example.
_WRONG = _TEXT.replace("a + b", "a - b")


def lost(after: str | None, before: str = _TEXT, tested: tuple[str, ...] = ("a.py",)) -> list[str]:
    changes = [FileChange("a.py", before.encode(), after.encode() if after else None)]
    return [source for _, source in lost_examples(changes, tested)]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_example_of_the_base_is_lost(edit):
    assert lost(_TEXT.replace(*edit)) == ["add(1, 2)"]
    assert not lost(_TEXT.replace(*edit), tested=())


def test_what_is_added_or_moved_is_none():
    assert not lost(_TEXT.replace("    >>> add(0", "    >>> add(5, 5)\n    10\n    >>> add(0"))
    assert not lost(_TEXT.replace("Add.", "Add two numbers."))
    assert not lost(_TEXT.replace("a + b", "b + a"))
    assert not lost("x = 1\n", before="y = 2\n")
    moved = [FileChange("a.py", _TEXT.encode(), None), FileChange("b.py", None, _TEXT.encode())]
    assert not list(lost_examples(moved, ("a.py",)))


def test_a_text_that_doctest_refuses_has_no_examples():
    assert (
        lost('"""\n  >>> add(1, 2)\n 3\n"""\n')
        == lost("def (:  # >>>\n")
        == ["add(1, 2)", "add(0, 0)"]
    )


def test_a_wrong_source_with_an_example_to_match_is_reported(tmp_path):
    judge = Judge.build(tmp_path)
    bent = Case("bent", BASE, {"calc.py": _WRONG.replace(*EDITS["another result"])})
    report = judge.report(bent, GateProfile.STANDARD)
    assert all(gate.status.is_pass for gate in report.gates)
    assert [(each.kind, each.path) for each in report.findings] == [("test-lost", "calc.py")]
    honest = Case("honest", BASE, {"calc.py": _TEXT.replace("a + b", "b + a")})
    assert not judge.report(honest, GateProfile.STRICT).findings
