"""`orch` as its users meet it: real processes, a real terminal, a real Valkey."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.cli.local.instance import discover
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.text import plain
from orchestrator.errors import AgentFailed
from orchestrator.leases.holder import AgentLeases
from orchestrator.models import (
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    LogLine,
)
from orchestrator.store import agent_logs, agents, changes
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
ORCH = [sys.executable, "-c", "from orchestrator.cli import main; main(prog_name='orch')"]
REQUEST = ("--repo", "/srv/repo.git", "--branch", "main", "--item", "add a function")
OUTCOME = {"agentId", "taskId", "status", "branch", "commit", "verdict", "usage", "error"}
HOSTILE = "\x1b[2Jred \x1b]0;title\x07[bold]x[/bold]\r\u202e end\n12:00:00 forged"


def now():
    return datetime.now(UTC)


class Orch:
    """Runs commands against one Valkey."""

    def __init__(self, valkey_url, cwd):
        self.cwd = cwd
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(cwd / "home"),
        }

    def run(self, *arguments, code=0, **environ):
        env = {name: value for name, value in (self.env | environ).items() if value is not None}
        done = subprocess.run(
            [*ORCH, *arguments],
            env=env,
            cwd=self.cwd,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def spawn(self, *arguments):
        return self.json("spawn", *REQUEST, *arguments)["agentId"]

    @contextmanager
    def started(self, *arguments, **streams):
        process = subprocess.Popen(
            [*ORCH, *arguments], env=self.env, cwd=self.cwd, text=True, **streams
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def orch(store, valkey_url, tmp_path):
    return Orch(valkey_url, tmp_path)


@pytest.fixture
def holder(store):
    return AgentLeases(store, now, lambda: str(uuid.uuid4()), "spawn@here", 30.0, "1:1")


def run_to(holder, agent_id):
    """Move an agent to `running` as a pool does."""
    return holder.start(holder.claim(agent_id), base_commit="b" * 40)


def say(store, agent, text):
    line = LogLine(at=now(), source="agent", text=text)
    assert store.run(agent_logs.append_log(agent.agent_id, agent.attempt, [line], cap=1000))


# ── the group ───────────────────────────────────────────────────────────────────────────────


def test_help_lists_every_command_and_imports_none(orch):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *ORCH[1:], "--help"],
        env=orch.env,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("up", "down", "demo", "doctor", "spawn", "wait", "status", "ls", "logs", "gates"):
        assert re.search(rf"^  {name} +[A-Z]", done.stdout, re.MULTILINE), name
    for heavy in ("pydantic", "redis", "celery", "rich"):
        assert f" {heavy}\n" not in done.stderr


def test_a_wrong_setting_is_one_line_that_names_it(orch):
    done = orch.run("ls", code=1, ORCHESTRATOR_PORT="many")
    assert done.stderr.startswith("orch: ORCHESTRATOR_PORT: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_valkey_that_is_away_is_one_line(orch):
    done = orch.run("ls", code=Exit.UNREACHABLE, VALKEY_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert len(done.stderr.splitlines()) == 1
    assert "does not answer" in done.stderr


def test_without_a_named_valkey_the_system_of_the_home_is_used_and_missed(orch):
    done = orch.run("ls", code=Exit.UNREACHABLE, VALKEY_URL=None)
    assert "orch up" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_usage_exits_2(orch):
    orch.run("nonsense", code=2)
    orch.run("ls", "--status", "dead", code=2)
    orch.run("wait", "x", "--timeout", "soon", code=2)


# ── spawn ───────────────────────────────────────────────────────────────────────────────────


def test_spawn_prints_the_id_alone_once_the_agent_is_durable(orch, store):
    done = orch.run("spawn", *REQUEST)
    agent = store.run(agents.read(done.stdout.strip()))
    assert done.stdout == f"{agent.agent_id}\n"
    assert agent.agent_id in done.stderr
    document = orch.json("spawn", *REQUEST)
    assert document == {"agentId": document["agentId"], "status": "spawning"}


def test_every_option_reaches_the_request(orch, store):
    agent_id = orch.spawn(
        *("--item", "and a test", "--type", "tester", "--skill", "python", "--task", "T 1"),
        *("--gate-profile", "custom", "--gate", "tests", "--priority", "9", "--max-retries", "0"),
    )
    assert store.run(agents.read_request(agent_id)).wire() == {
        "taskId": "T 1",
        "agentType": "tester",
        "gateProfile": "custom",
        "gates": ["tests"],
        "priority": 9,
        "maxRetries": 0,
        "context": {
            "repository": "/srv/repo.git",
            "branch": "main",
            "workItems": ["add a function", "and a test"],
            "skills": ["python"],
        },
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (".", "{cwd}"),
        ("sub/../x.git", "{cwd}/x.git"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("https://host/x.git", "https://host/x.git"),
    ],
)
def test_a_local_repository_is_made_absolute(orch, store, given, stored):
    done = orch.run("spawn", "--repo", given, *REQUEST[2:])
    agent = store.run(agents.read(done.stdout.strip()))
    assert agent.repository == stored.format(cwd=orch.cwd)


def test_every_fault_of_a_request_has_its_line(orch):
    done = orch.run("spawn", "--repo", "ext::sh", "--branch", "-x", *REQUEST[4:], code=2)
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "context.repository",
        "context.branch",
    ]
    assert done.stdout == ""


def test_an_idempotency_key_names_one_agent(orch):
    key = ("--idempotency-key", "k", "--task", "t")
    assert orch.spawn(*key) == orch.spawn(*key)
    done = orch.run("spawn", *REQUEST, *key, "--priority", "9", code=2)
    assert "Idempotency-Key" in done.stderr


# ── waiting ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_good", [True, False])
def test_spawn_wait_ends_with_the_outcome_and_its_exit_code(orch, holder, is_good):
    command = ("spawn", *REQUEST, "--wait", "--json")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with orch.started(*command, **pipes) as process:
        agent_id = process.stderr.readline().split()[-1]
        agent = run_to(holder, agent_id)
        if is_good:
            holder.complete(agent, {"branch": f"agent/{agent_id}", "commit": "c" * 40})
        else:
            holder.fail(agent, AgentFailed("It broke."))
        outcome = json.loads(process.stdout.read())
        assert process.wait(60) == (0 if is_good else 1)
    assert outcome.keys() >= OUTCOME
    assert outcome["status"] == ("completed" if is_good else "failed")
    assert outcome["branch"] == (f"agent/{agent_id}" if is_good else None)
    assert outcome["verdict"] is None
    assert outcome["usage"]["totalTokens"] == 0
    assert (outcome["error"] or "").startswith("" if is_good else "It broke.")


def test_wait_answers_at_once_for_an_agent_that_has_ended(orch, holder):
    agent_id = orch.spawn()
    holder.fail(run_to(holder, agent_id), AgentFailed())
    assert orch.json("wait", agent_id, code=1)["status"] == "failed"
    # However short the time is: it has ended.
    assert orch.json("wait", agent_id, "--timeout", "1ms", code=1)["status"] == "failed"


def test_wait_gives_up_in_its_time_and_says_where_the_agent_is(orch):
    agent_id = orch.spawn()
    done = orch.run("wait", agent_id, "--timeout", "100ms", code=Exit.GAVE_UP)
    assert done.stdout == ""
    assert "is spawning (queued)" in done.stderr


def test_ctrl_c_detaches_with_a_word_and_130(orch, store):
    agent_id = orch.spawn()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with orch.started("spawn", *REQUEST, "--wait", **pipes) as process:
        agent_id = process.stderr.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=150)
        assert process.returncode == 130
    assert stdout == ""
    assert f"detached; what you followed goes on: orch wait {agent_id}" in stderr
    assert "Traceback" not in stderr
    assert store.run(agents.read(agent_id)).status == "spawning"


def test_on_a_terminal_wait_shows_phase_tokens_and_last_words(orch, store, holder):
    agent_id = orch.spawn()
    agent = run_to(holder, agent_id)
    say(store, agent, HOSTILE)
    holder.update(agent, {"usage": {"totalTokens": 4711}})
    ours, theirs = pty.openpty()
    orch.env |= {"TERM": "xterm", "COLUMNS": "100"}
    with orch.started("wait", agent_id, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = ""
        while not ("executing" in seen and "4711 tokens" in seen and "12:00:00 forged" in seen):
            seen += os.read(ours, 4096).decode(errors="replace")
        holder.complete(agent, {})
        # Drained, so that a full terminal cannot hold the command back.
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                break
            seen += chunk.decode(errors="replace")
        assert process.wait(60) == 0
    os.close(ours)
    assert "[bold]x[/bold]" in seen
    assert "title" not in seen
    assert "\u202e" not in seen


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def test_status_prints_the_record_of_http(orch, store):
    agent_id = orch.spawn()
    assert orch.json("status", agent_id) == store.run(agents.read(agent_id)).wire()
    assert re.search(r"^status +spawning$", orch.run("status", agent_id).stdout, re.MULTILINE)
    done = orch.run("status", "nobody", code=1)
    assert done.stderr == "orch: There is no agent nobody. List the agents with `orch ls`.\n"


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
        assert process.wait(60) == 0
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
        process.wait(60)


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


# ── the demo ────────────────────────────────────────────────────────────────────────────────


def git(remote, *arguments):
    return subprocess.check_output(["git", "-C", remote, *arguments], text=True).strip()


def test_the_demo_ends_with_a_pushed_commit_and_nothing_running(orch):
    """The user's own settings, even a Valkey that is away, do not reach it."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    done = orch.run("demo", VALKEY_URL=away, ORCHESTRATOR_AGENT="claude")
    last = done.stdout.splitlines()[-1]
    agent_id, branch, commit, remote = re.fullmatch(
        r"agent (\S+) pushed branch (\S+) at commit (\w{40}) to (\S+)", last
    ).groups()
    assert branch == f"agent/{agent_id}"
    assert git(remote, "rev-parse", branch) == commit
    assert git(remote, "diff", "--name-only", f"main..{branch}").split() == [
        "greetings.py",
        "test_greetings.py",
    ]
    assert f"Agent-Id: {agent_id}" in git(remote, "log", "-1", "--format=%B", branch)
    assert discover(orch.cwd / "home" / "demo" / "home") is None


def test_a_demo_that_fails_says_why_and_leaves_nothing_running(orch):
    tools = orch.cwd / "bin"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    # Without python3 on its PATH the agent's own test run fails.
    done = orch.run("demo", code=1, PATH=str(tools))
    assert "orch: the agent has failed: " in done.stderr
    assert "python3" in done.stderr.partition("the agent has failed")[2]
    assert "pushed" not in done.stdout
    assert discover(orch.cwd / "home" / "demo" / "home") is None
