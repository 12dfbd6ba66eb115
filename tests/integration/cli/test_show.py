"""Commands that show agents print what HTTP answers, and nothing that drives a terminal."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from orchestrator.cli.output.text import plain
from orchestrator.errors import AgentFailed
from orchestrator.models import (
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
)
from orchestrator.store import agents, changes
from tests.integration.cli.conftest import HOSTILE, run_to, say


def test_status_prints_the_record_of_http(orch, store):
    agent_id = orch.spawn()
    assert orch.json("status", agent_id) == store.run(agents.read(agent_id)).wire()
    assert re.search(r"^status +spawning$", orch.run("status", agent_id).stdout, re.MULTILINE)
    done = orch.run("status", "nobody", code=1)
    refusal = "orch: There is no agent nobody. List the agents with `orch ls`. [not_found]\n"
    assert done.stderr == refusal


def test_ls_filters_and_pages(orch, holder):
    ids = [orch.spawn("--task", f"t{n}", "--type", kind) for n, kind in enumerate(["worker"] * 2)]
    run_to(holder, ids[0])

    def listed(*options):
        return {agent["agentId"] for agent in orch.json("ls", *options)["agents"]}

    assert listed() == set(ids)
    assert listed("--status", "running") == {ids[0]}
    assert listed("--task", "t1") == {ids[1]}
    assert listed("--type", "tester") == set()
    first = orch.json("ls", "--limit", "1")
    rest = orch.json("ls", "--limit", "1", "--cursor", first["nextCursor"])
    assert first["agents"] + rest["agents"] != []
    assert {agent["agentId"] for agent in first["agents"] + rest["agents"]} == set(ids)
    assert "nextCursor" not in rest


def test_piped_ls_is_plain_columns_whole(orch):
    agent_id = orch.spawn("--task", "a-task-with-a-name-that-no-terminal-of-80-columns-could-hold")
    header, row = orch.run("ls").stdout.splitlines()
    columns = ["NEEDS", "AGENT", "STATE", "TYPE", "TIME", "TOKENS", "TASK", "WHY", "NEXT"]
    assert header.split() == columns
    assert row.split()[:4] == ["-", agent_id, "queued", "worker"]
    assert row.split()[6].endswith("could-hold")


def test_logs_cannot_drive_the_terminal_nor_forge_a_line(orch, store, holder):
    agent_id = orch.spawn()
    assert orch.run("logs", agent_id).stdout == ""
    say(store, run_to(holder, agent_id), HOSTILE)
    first, second = orch.run("logs", agent_id).stdout.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d agent  red \[bold\]x\[/bold\] end", first)
    assert re.fullmatch(r" {16}12:00:00 forged", second)
    lines = orch.json("logs", agent_id)["lines"]
    assert [line["text"] for line in lines] == [HOSTILE]
    orch.run("logs", "nobody", code=1)


def test_logs_follow_prints_json_lines_until_the_end(orch, store, holder):
    agent = run_to(holder, orch.spawn())
    say(store, agent, "one")
    command = ("logs", "-f", agent.agent_id, "--json")
    with orch.started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["text"] == "one"
        say(store, agent, "two")
        assert json.loads(process.stdout.readline())["text"] == "two"
        holder.fail(agent, AgentFailed())
        assert process.stdout.read() == ""
        assert process.wait(240) == 0
        assert "failed" in process.stderr.read()


def test_a_reader_that_goes_away_is_no_error(orch, store, holder):
    agent = run_to(holder, orch.spawn())
    for _ in range(20):
        say(store, agent, "x" * 16_000)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with orch.started("logs", agent.agent_id, **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(240)


def test_gates_prints_each_gate_with_its_evidence(orch, store):
    agent_id = orch.spawn()
    assert orch.run("gates", agent_id).stdout == ""
    failed = GateResult(
        name="lint", status=GateStatus.FAILED, command="ruff check", detail="a.py:1\n\x1b[2Jb.py:2"
    )
    report = GateReport(
        agent_id=agent_id,
        attempt=1,
        stage="pre-commit",
        profile=GateProfile.STANDARD,
        tree="a" * 40,
        plan_digest="d",
        approved=False,
        gates=(failed,),
        findings=(Finding(kind="secret", path="a.py", line=3, detail="a key"),),
    )
    store.run(changes.append_report(report))
    assert orch.json("gates", agent_id) == {"reports": [report.wire()]}
    assert orch.run("gates", agent_id).stdout.splitlines() == [
        f"attempt 1, pre-commit, profile standard: rejected (tree {'a' * 12})",
        "  failed     lint  0.0 s  $ ruff check",
        " " * 13 + "a.py:1",
        " " * 13 + "b.py:2",
        "  secret  a.py:3  a key",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b]0;never ended\nnext", "0;never ended\nnext"),
        ("\x1bPq#0\x1b\\x\x1b^y\x1b\\z", "xz"),
        ("\x1bcreset\x9b2J", "reset2J"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("back\b\b\rstart\x00", "backstart"),
        ("naïve 漢字", "naïve 漢字"),
    ],
)
def test_plain_leaves_nothing_a_terminal_obeys(text, shown):
    assert plain(text) == shown
