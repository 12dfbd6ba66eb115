"""The real Claude Code goes on with its session on another host, through Valkey."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.backends._claude_session import read_session, write_session
from orchestrator.backends.claude import build
from orchestrator.interfaces.agent import AgentJob, SessionStarted
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.models import AgentType
from orchestrator.sandboxes import process
from orchestrator.settings import load_settings
from orchestrator.store.sessions import keep_session, recall_session
from tests.doubles.messages_api import MessagesApi, Text, ToolCall, Turn

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)


@dataclass(frozen=True)
class Host:
    """Where a round runs."""

    worktree: Path
    home: Path

    def play(self, api, **changes) -> str:
        """Run one round and return the id of its session."""
        settings = load_settings({"CLAUDE_API_KEY": "key-1", "ANTHROPIC_BASE_URL": api.url})
        backend = build(settings)
        job = AgentJob(
            "a-1", AgentType.WORKER, ("Write it.",), (), self.worktree, self.home, **changes
        )
        launch = backend.launch(job)
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), **launch.env}
        ended = run_to_end(
            process.build(settings),
            ProcessSpec(
                "a-1", launch.argv, env, self.worktree, launch.stdin, root=self.worktree.parent
            ),
            timeout_s=240,
            output_limit_bytes=2**24,
            check=lambda: None,
        )
        assert ended.exit_code == 0, ended
        signals = [one for line in ended.stdout.splitlines() for one in backend.signals(line)]
        return {one.session_id for one in signals if isinstance(one, SessionStarted)}.pop()


@pytest.fixture
def host(tmp_path):
    def make(name):
        made = Host(tmp_path / name / "tree", tmp_path / name / "home")
        made.worktree.mkdir(parents=True)
        made.home.mkdir()
        return made

    return make


@pytest.mark.parametrize("there", ["there", "d" * 120 + "/" + "e" * 120])
def test_the_second_round_resumes_the_first_s_session_elsewhere(store, host, there):
    """Even where the path is longer than Claude Code's names of projects."""
    first, second = host("here"), host(there)
    delegated = {"description": "d", "prompt": "Look.", "subagent_type": "general-purpose"}
    # Main agent and subagent run beside each other, so whoever asks gets the same words.
    turns = [Turn((ToolCall("Task", delegated),)), *[Turn((Text("Round one did this."),))] * 9]
    with MessagesApi(turns) as api:
        session_id = first.play(api)
    left = read_session(first.home, session_id)
    assert [subpath.rpartition("-")[0] for subpath in left] == ["", "subagents/agent"]

    store.follow(keep_session("a-1", 1, session_id, left, now=datetime.now(UTC)))
    session = store.follow(recall_session("a-1", 1, session_id))
    write_session(second.home, second.worktree, session_id, session)
    assert read_session(second.home, session_id) == left

    looked = {"command": "pwd", "description": "Look"}
    with MessagesApi([Turn((ToolCall("Bash", looked),)), Turn((Text("Mended."),))]) as api:
        again = second.play(api, session_id=session_id, feedback="the tests failed")
        assert again == session_id
        for request in api.main_requests:
            assert "Round one did this." in str(request.body["messages"])
            assert "the tests failed" in str(request.body["messages"])
        assert str(second.worktree) in str(api.main_requests[-1].body["messages"][-1])
    grown = read_session(second.home, session_id)
    assert len(grown[""]) > len(left[""])
    assert grown[""][: len(left[""])] == left[""]
