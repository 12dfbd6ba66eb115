"""`orch spawn --wait` and `orch wait` follow an agent to its outcome."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

import pytest

from orchestrator.cli.output.exit_codes import Exit
from orchestrator.errors import AgentFailed
from orchestrator.store import agents
from tests.integration.cli.conftest import HOSTILE, REQUEST, run_to, say, spawned_by

OUTCOME = {"agentId", "taskId", "status", "branch", "commit", "verdict", "usage", "error"}


@pytest.mark.parametrize("is_good", [True, False])
def test_spawn_wait_ends_with_the_outcome_and_its_exit_code(orch, holder, is_good):
    command = ("spawn", *REQUEST, "--wait", "--json")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with orch.started(*command, **pipes) as process:
        agent_id = spawned_by(process)
        agent = run_to(holder, agent_id)
        if is_good:
            holder.complete(agent, {"branch": f"agent/{agent_id}", "commit": "c" * 40})
        else:
            holder.fail(agent, AgentFailed("It broke."))
        outcome = json.loads(process.stdout.read())
        assert process.wait(240) == (0 if is_good else 1)
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
        agent_id = spawned_by(process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=300)
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
        assert process.wait(240) == 0
    os.close(ours)
    assert "[bold]x[/bold]" in seen
    assert "title" not in seen
    assert "\u202e" not in seen
