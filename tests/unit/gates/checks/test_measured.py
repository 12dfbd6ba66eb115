"""`orchestrator.gates.checks._measured`: how a report is made again from the data of its run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.gates.checks._measured import (
    has_data,
    measured_again,
    measured_files,
    report_options,
    rewritten,
)
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.run import Completed
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
        ("coverage run --omit=a b && coverage html --omit=c", None),
        ("cat json --omit=a", None),
        ("cat json json && python3 -m coverage json --omit=d", ("--omit=d",)),
    ],
)
def test_the_options_that_decide_what_is_measured_are_those_of_the_command(command, options):
    gate = PlannedGate("coverage", Stage.POST_COMMIT, command, 9.0)
    assert report_options(gate) == options


def test_the_script_of_a_command_shows_them_too():
    script = "pytest --cov\ncoverage json --include=a.py"
    gate = PlannedGate("coverage", Stage.POST_COMMIT, "make cov", 9.0, script=script)
    assert report_options(gate) == ("--include=a.py",)


REPORT = json.dumps({"totals": {"num_statements": 4, "percent_covered": 71.5}}).encode()


@pytest.fixture
def root(tmp_path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("exit_code", "written", "printed", "measured"),
    [
        (0, REPORT, "Wrote it", 71.5),
        (1, REPORT, "No data\nto report", "to report"),
        (0, None, "nothing", "nothing"),
        (2, None, "", "exit code 2"),
    ],
)
def test_the_report_that_the_tool_makes_anew_counts_and_is_removed(
    root, tmp_path, exit_code, written, printed, measured
):
    def run(argv: tuple[str, ...], *_: object) -> Completed:
        assert argv[-4:-1] == ("json", "--omit=a", "-o")
        if written is not None:
            Path(tmp_path, argv[-1]).write_bytes(written)
        return Completed(
            exit_code, printed.encode(), b"", timed_out=False, truncated=False, duration_ms=1
        )

    assert measured_again(["--omit=a"], SimpleNamespace(run=run), root, b"{}") == measured
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_cannot_start_is_named_and_the_next_one_is_tried(root, tmp_path):
    def run(argv: tuple[str, ...], *_: object) -> Completed:
        if argv[0] == "python3":
            raise BackendUnavailable
        Path(tmp_path, argv[-1]).write_bytes(REPORT)
        return Completed(0, b"", b"", timed_out=False, truncated=False, duration_ms=1)

    assert measured_again([], SimpleNamespace(run=run), root, b"{}") == 71.5


def test_a_source_that_differs_or_a_new_configuration_is_a_rewrite():
    before = {"a.py": b"1", "b.py": b"2"}
    assert rewritten(before, before) == ""
    assert rewritten(before, {**before, "b.py": b"3"}) == "b.py"
    assert rewritten(before, {"a.py": b"1"}) == "b.py"
    assert rewritten(before, {**before, "made.py": b"4"}) == ""
    assert rewritten(before, {**before, "web/.nycrc": b"4"}) == "web/.nycrc"


def test_sources_and_configuration_are_known_by_their_content(root, tmp_path):
    for path in ("a.py", "web/b.ts", ".coveragerc", "node_modules/c.js", "data.txt"):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("1")
    (tmp_path / "link.py").symlink_to("a.py")
    before = measured_files(root)
    assert before.keys() == {"a.py", "web/b.ts", ".coveragerc"}
    (tmp_path / "web/b.ts").write_text("2")
    after = measured_files(root)
    assert [path for path in before if before[path] != after[path]] == ["web/b.ts"]


def test_the_data_of_a_run_is_a_file_of_its_own(root, tmp_path):
    assert not has_data(root)
    (tmp_path / ".coverage").symlink_to("/etc/hostname")
    assert not has_data(root)
    (tmp_path / ".coverage").unlink()
    (tmp_path / ".coverage").write_bytes(b"SQLite")
    assert has_data(root)
