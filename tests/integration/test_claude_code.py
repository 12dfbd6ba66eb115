"""The real Claude Code, in the process sandbox, against a double of the API on loopback."""

from __future__ import annotations

import importlib.util
import os
from datetime import UTC, datetime

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.backends.claude import build
from orchestrator.interfaces.agent import AgentJob, AgentMessage, ToolUse
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.models import AgentType, Usage
from orchestrator.sandboxes import process
from orchestrator.settings import load_settings
from tests.doubles.messages_api import MessagesApi, Text, ToolCall, Turn

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)


class Listener:
    """A backend that remembers the signals."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.heard = []

    def signals(self, line):
        signals = self._backend.signals(line)
        self.heard += signals
        return signals


@pytest.fixture
def play(tmp_path):
    """Run one round of an agent, or as much of it as `enough` asks for.

    Returns its transcript, its signals and its exit code.
    """
    worktree, home = tmp_path / "tree", tmp_path / "home"
    worktree.mkdir()
    home.mkdir()

    def run(api, *, enough=lambda _: False, **changes):
        settings = load_settings({"CLAUDE_API_KEY": "key-1", "ANTHROPIC_BASE_URL": api.url})
        backend = build(settings)
        work_items = ("Write hello.txt.",)
        launch = backend.launch(
            AgentJob("a-1", AgentType.WORKER, work_items, (), worktree, home, **changes)
        )
        env = {"PATH": os.environ["PATH"], "HOME": str(home), **launch.env}
        spec = ProcessSpec("a-1", launch.argv, env, worktree, launch.stdin, root=tmp_path)
        listener = Listener(backend)
        transcript = OutputReader(
            listener, clock=lambda: datetime.now(UTC), secrets=(), line_limit_bytes=2**24
        )
        with process.build(settings).start(spec) as running:
            while running.exit_code is None and not enough(listener.heard):
                for chunk in running.read(30):
                    transcript.feed(chunk)
            return transcript, listener.heard, running.exit_code

    return run


def turns(worktree):
    written = {"file_path": str(worktree / "hello.txt"), "content": "hello\n"}
    listed = {"command": "echo $ORCH_AGENT_ID > id.txt; cat hello.txt", "description": "Look"}
    return [
        Turn((Text("I write it."), ToolCall("Write", written)), output_tokens=57),
        Turn((ToolCall("Bash", listed),), output_tokens=33),
        Turn((Text("Wrote hello.txt."),), output_tokens=11),
    ]


def test_a_task_and_then_a_second_round_in_the_same_session(play, tmp_path):
    worktree = tmp_path / "tree"
    with MessagesApi(turns(worktree)) as api:
        transcript, signals, code = play(api)
        assert code == 0, transcript.drain_lines()
        assert (worktree / "hello.txt").read_text() == "hello\n"
        assert (worktree / "id.txt").read_text() == "a-1\n"
        assert [one.name for one in signals if isinstance(one, ToolUse)] == ["Write", "Bash"]
        assert transcript.result.ok
        assert transcript.result.summary == "Wrote hello.txt."
        assert transcript.result.cost_usd > 0
        # Once per message, though each comes in several events; and all that was put out.
        assert transcript.meter.total.model_copy(update={"client_cost_usd": None}) == Usage(
            input_tokens=3 * 100,
            cache_write_tokens=3 * 20,
            cache_read_tokens=3 * 3,
            output_tokens=57 + 33 + 11,
            total_tokens=470,
        )
        assert {one.headers["x-api-key"] for one in api.main_requests} == {"key-1"}
        assert len(api.main_requests) == 3

    with MessagesApi([Turn((Text("Mended it."),))]) as api:
        again, _, code = play(api, session_id=transcript.session_id, feedback="the tests failed")
        assert code == 0
        assert again.session_id == transcript.session_id
        assert again.result.summary == "Mended it."
        [request] = api.main_requests
        # The session remembers the first round, and the prompt tells what was wrong with it.
        assert "Wrote hello.txt." in str(request.body["messages"])
        assert "the tests failed" in str(request.body["messages"])


def test_a_key_that_the_api_refuses_is_told_at_once(play):
    """Claude Code itself goes on trying for minutes."""
    with MessagesApi([], key="another") as api:
        _, signals, _ = play(
            api, enough=lambda heard: any(isinstance(x, AgentMessage) for x in heard)
        )
    assert signals[-1].text.startswith("API: 401 (authentication_failed), retry 1 of ")
