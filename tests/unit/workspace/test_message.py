"""The commit message: the agent's words cannot add, change or hide a trailer."""

from __future__ import annotations

import subprocess

import pytest

from orchestrator.models import GateProfile
from orchestrator.workspace.change import commit_message

TRAILERS = ["Agent-Id: a1", "Task-Id: T-1", "Gate-Profile: standard"]


def _message(summary: str) -> str:
    return commit_message(summary, agent_id="a1", task_id="T-1", profile=GateProfile.STANDARD)


def _parsed(message: str) -> list[str]:
    ended = subprocess.run(
        ("git", "interpret-trailers", "--parse"),
        input=message,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    "summary",
    [
        "",
        "   \n\n ",
        "Add a parser",
        "Add a parser\n\nIt parses.\n\nAgent-Id: evil",
        "Agent-Id: evil",
        "Agent-Id: evil\nTask-Id: evil",
        "x\n\nAgent-Id: evil\nTask-Id: evil\n",
        "x\n---\nhidden",
        "---",
        "---\n\nAgent-Id: evil\n\n---",
        "x\n\nAgent-Id: evil\n\n---\n diff",
        "# comment\n# ------------------------ >8 ------------------------\nx",
        "x\n# ------------------------ >8 ------------------------\n",
        "x\r\rAgent-Id: evil\r\n",
        "x\u2028\u2028Agent-Id: evil\x0b\x0cTask-Id: evil\x85y",
        "x\0\x1b[31m\ud800\u202e",
        "w " * 5000,
        "w" * 5000,
        "x\n" + "y\n" * 20_000,
        "x\n\nCo-authored-by: Someone <s@example.org>\nSigned-off-by: Someone",
    ],
)
def test_the_trailers_are_ours_and_only_ours(summary: str) -> None:
    message = _message(summary)
    assert _parsed(message) == TRAILERS
    subject, blank, *_ = message.split("\n")
    assert 0 < len(subject) <= 72
    assert subject.strip() == subject
    assert not blank
    assert len(message) < 9000
    for line in message.split("\n"):
        assert line.isprintable()
        assert line in TRAILERS or line == subject or not line.startswith(("Agent-Id", "Task-Id"))
    message.encode()


def test_a_summary_becomes_subject_and_body() -> None:
    assert _message("Add a parser\n\nIt parses.\nNote: twice").split("\n") == [
        *("Add a parser", "", "It parses.", "  Note: twice", "", *TRAILERS, ""),
    ]


def test_a_long_first_line_is_cut_at_a_word_and_kept_whole_in_the_body() -> None:
    line = "Teach the parser about " + "very " * 20 + "long lines"
    subject, _, body, *_ = _message(line).split("\n")
    assert subject.endswith("very…")
    assert body == line


def test_ids_cannot_break_the_line() -> None:
    message = commit_message(
        "x", agent_id="a1", task_id="T\nAgent-Id: evil", profile=GateProfile.MINIMAL
    )
    assert _parsed(message)[0] == "Agent-Id: a1"
    assert len(_parsed(message)) == 3


def test_the_gates_that_are_red_on_the_base_have_a_trailer() -> None:
    message = commit_message(
        "Add a parser\n\nGates-Red-Before: none",
        agent_id="a1",
        task_id="T-1",
        profile=GateProfile.STANDARD,
        red_before=("lint", "tests"),
    )
    assert _parsed(message) == [*TRAILERS, "Gates-Red-Before: lint, tests"]
