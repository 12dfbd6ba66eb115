"""Tables keep what identifies a row and what needs somebody at every width, and cut nothing.

`python -m tests.unit.cli.test_table` writes the golden screens.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from orchestrator.cli.commands import audit, budget, config, doctor, keys, ls, queues, scan, wait
from orchestrator.cli.output.table import Column, table_lines, whole_lines

GOLDEN = Path(__file__).parents[2] / "fixtures" / "tables"
WIDTHS = (80, 120, 200)
IDS = [f"{n}f3c2a1e-5b7d-4c8f-9a2b-0d1e2f3a4b5{n}" for n in range(5)]
LONG_TASK = "migrate-the-billing-service-from-the-old-ledger-to-the-new-one-in-nine-steps-part-" * 2
WHY = (
    "rejected by tests, coverage; its work is kept; 修正が必要です: 3 件の失敗 🚨 "
    + "see below " * 12
)

SCREENS = {
    "ls": (
        ls._COLUMNS,
        [
            (
                "!",
                IDS[0],
                "failed",
                "worker",
                "1:02:03",
                "1204711",
                "T-1",
                WHY,
                f"orch gates {IDS[0]}",
            ),
            ("", IDS[1], "awaiting-rework", "reviewer", "0:00:09", "0", LONG_TASK, "", ""),
            ("", IDS[2], "executing", "tester", "2 days, 3:04:05", "88", "請求書の修正 🧾", "", ""),
            (
                "!",
                "raw-" + "x" * 90,
                "completed",
                "worker",
                "0:10:00",
                "5",
                IDS[3],
                "conflicts",
                "orch diff x",
            ),
        ],
    ),
    "audit": (
        audit._COLUMNS,
        [
            (
                "7",
                "2026-11-28 08:00:00",
                "kill",
                "ann@host",
                IDS[0],
                "running",
                "confirmed",
                "too slow",
            ),
            (
                "12345",
                "2026-11-28 08:00:01",
                "kill-all",
                "ORCHESTRATOR_API_KEY",
                "taskId T-1, repository https://git.example/group/a-long-name.git",
                "",
                "",
                "夜間の停止 🌙",
            ),
            (
                "12346",
                "2026-11-28 08:00:02",
                "budget",
                "bob@host",
                "daily",
                '{"mode":"hard","dailyTokens":10000000,"agentTokens":2000000}',
                "daily 5M",
                "b " * 60,
            ),
        ],
    ),
    "budget": (
        budget._COLUMNS,
        [
            (IDS[0], "completed", "1200000", "$4.20", "12.0 %", "1200000", "60.0 %", LONG_TASK),
            (IDS[1], "gone", "5", "", "0.0 %", "5", "0.0 %", "T-2"),
        ],
    ),
    "config": (
        config._COLUMNS,
        [
            (
                "ORCHESTRATOR_BACKENDS__COMMAND__ARGV",
                "environment",
                '["aider", "--yes", "{prompt}"] ' * 4,
            ),
            (
                "ORCHESTRATOR_SECRET_ALLOW_LIST",
                "ORCHESTRATOR_SECRET_ALLOW_LIST_FILE (.env)",
                "/srv/x",
            ),
            ("VALKEY_PORT", "default", "6379"),
        ],
    ),
    "keys": (
        keys._COLUMNS,
        [
            ("ci", "read,spawn", "2026-11-28 08:00", "-", "2027-02-26 08:00"),
            (
                "n" * 64,
                "audit,kill,operate,read,spawn",
                "2026-11-28 08:00",
                "2026-11-28 08:01",
                "-",
            ),
        ],
    ),
    "queues": (
        queues._COLUMNS,
        [
            ("spawn", "12", "4", "1", "1234567", "3", "18s", "ann@host"),
            ("gates", "0", "0", "0", "9", "0", "-", ""),
        ],
    ),
    "doctor": (
        doctor._COLUMNS,
        [
            ("fail", "valkey", "No system runs here.", "Start one with `orch up --detach`."),
            ("warn", "processes", "shim: no bubblewrap. " * 9, "Install bubblewrap."),
            ("ok", "git", "git version 2.47.3", ""),
        ],
    ),
    "wait": (
        wait._COLUMNS,
        [
            (IDS[0], "failed", "", "tests failed: " + "calc.py is wrong " * 9),
            (IDS[1], "completed", f"agent/{IDS[1]}", ""),
        ],
    ),
    "scan": (
        scan._COLUMNS,
        [("generic-api-key", "3f9c2a1e5b7d", "a" * 16, "src/" + "deep/" * 20 + "settings.py:12")],
    ),
}


def screen(name: str, width: int) -> str:
    columns, rows = SCREENS[name]
    return "".join(f"{click.unstyle(line)}\n" for line in table_lines(columns, rows, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_the_screen_is_the_golden_one(name, width):
    assert screen(name, width) == (GOLDEN / f"{name}-{width}.txt").read_text("utf-8")


@pytest.mark.parametrize("width", [40, *WIDTHS])
@pytest.mark.parametrize("name", SCREENS)
def test_no_width_loses_a_word(name, width):
    shown = " ".join(screen(name, width).split())
    for row in SCREENS[name][1]:
        for cell in row:
            assert " ".join(cell.split()) in shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_line_is_as_wide_as_the_screen_unless_one_word_is_wider(name, width):
    for line in screen(name, width).splitlines():
        is_command = "orch " in line
        longest = max(map(cell_len, line.split()))
        assert cell_len(line) <= width or is_command or longest > width - 20


@pytest.mark.parametrize("width", WIDTHS)
def test_state_need_and_id_keep_their_places_whatever_one_cell_holds(width):
    head, *lines = screen("ls", width).splitlines()
    for name in ("NEEDS", "AGENT", "STATE", "TIME"):
        assert name in head
    rows = [line for line in lines if not line.startswith("    ")]
    at = head.index("STATE")
    assert [row[at:].split()[0] for row in rows[:2]] == ["failed", "awaiting-rework"]
    assert rows[0].split()[:2] == ["!", IDS[0]]


def test_wide_cells_are_measured_as_a_terminal_draws_them():
    columns = (Column("A", 0), Column("B", 0))
    rows = [("漢字", "x"), ("🚨🚨", "x"), ("é", "x"), ("abcd", "x")]  # codespell:ignore
    for lines in (whole_lines(columns, rows), table_lines(columns, rows, 80)):
        shown = [click.unstyle(line) for line in lines]
        assert {cell_len(line.rpartition("x")[0]) for line in shown[1:]} == {6}


def test_a_cell_cannot_imitate_a_row():
    hostile = f"x\n!      {IDS[1]}  completed\r\x1b[2J" + " y" * 90
    columns = (Column("NEEDS", 0), Column("AGENT", 0), Column("TASK", 1))
    lines = [click.unstyle(one) for one in table_lines(columns, [("", IDS[0], hostile)], 80)]
    assert [line for line in lines[1:] if not line.startswith("    ")] == [lines[1]]
    assert not re.search(r"\x1b|\r", "".join(lines))


def test_a_pipe_gets_one_whole_line_a_row():
    for name, (columns, rows) in SCREENS.items():
        lines = list(whole_lines(columns, rows))
        assert len(lines) == len(rows) + 1, name


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in SCREENS:
        for width in WIDTHS:
            (GOLDEN / f"{name}-{width}.txt").write_text(screen(name, width), "utf-8")
