"""`orchestrator.gates.checks._measured`: how a report is made again from the data of its run."""

from __future__ import annotations

import pytest

from orchestrator.gates.checks._measured import report_options
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import Stage


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("coverage run -m pytest && coverage json -o coverage.json", ()),
        (
            "coverage run -m pytest; python3 -m coverage xml -i --omit 'a*' -o x",
            ("-i", "--omit", "a*"),
        ),
        ("coverage json --rcfile=ci/c.cfg -q", ("--rcfile=ci/c.cfg",)),
        ("coverage json --rcfile ci/c.cfg --pretty-print", ("--rcfile", "ci/c.cfg")),
        ("COVERAGE_RCFILE=c.cfg coverage lcov", ("--rcfile=c.cfg",)),
        ("pytest --cov=shop --cov-config=c.cfg --cov-report=json", ("--rcfile=c.cfg",)),
        ("pytest --cov --cov-config c.cfg", ("--rcfile", "c.cfg")),
        ("pytest --cov --cov-report=xml", ()),
        ("(cd x && .venv/bin/coverage json --fail-under=3 --data-file=d)", ("--data-file=d",)),
        ("make coverage", None),
        ("sh measure.sh # coverage json", None),
        ("nyc npm test && echo 'coverage", None),
    ],
)
def test_the_options_that_decide_what_is_measured_are_those_of_the_command(command, options):
    gate = PlannedGate("coverage", Stage.POST_COMMIT, command, 9.0)
    assert report_options(gate) == options


def test_the_script_of_a_command_shows_them_too():
    script = "pytest --cov\ncoverage json --include=a.py"
    gate = PlannedGate("coverage", Stage.POST_COMMIT, "make cov", 9.0, script=script)
    assert report_options(gate) == ("--include=a.py",)
