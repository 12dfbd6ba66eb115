"""The real Claude Code, from an HTTP spawn to the pushed commit; only the model is a double."""

from __future__ import annotations

import importlib.util
import json
import re
import urllib.request
from collections.abc import Iterator

import pytest

from tests.doubles.messages_api import INPUT_USAGE, MessagesApi, Request, Text, ToolCall, Turn
from tests.integration.conftest import SAMPLE, System, git, running
from tests.integration.test_end_to_end import assert_pushed, request_body

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)
KEY = "sk-only-for-the-double"


def write_a_file(request: Request) -> Turn:
    """The model writes into the working directory that Claude Code told it."""
    worktree = re.search(r"(/[^\s\"\\]+/workspaces/[^/\s]+/tree)", json.dumps(request.body))
    assert worktree, "Claude Code did not say where it works"
    path = f"{worktree[1]}/calc.py"
    content = SAMPLE["calc.py"] + "\n\ndef double(a):\n    return add(a, a)\n"
    read = ToolCall("Read", {"file_path": path})
    write = ToolCall("Write", {"file_path": path, "content": content})
    return Turn((Text("I add double()."), read, write), output_tokens=70)


TURNS = (
    write_a_file,
    Turn((ToolCall("Bash", {"command": "python3 -m unittest -q", "description": "Test"}),), 20),
    Turn((Text("Add double(), which adds a number to itself."),), 10),
)


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    with MessagesApi(TURNS, key=KEY) as double:
        yield double


@pytest.fixture
def claude_system(api, tmp_path_factory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("claude-home")
    with running(home, CLAUDE_API_KEY=KEY, ANTHROPIC_BASE_URL=api.url) as system:
        yield system


def test_claude_code_writes_tests_and_its_change_is_pushed(claude_system, api, remote):
    body = request_body(remote, "Add a function double() to calc.py.", agentType="worker")
    spawn = urllib.request.Request(
        f"{claude_system.api}/agents/spawn",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(spawn, timeout=120) as response:
        agent_id = json.load(response)["agentId"]
    outcome = claude_system.wait(agent_id)

    assert_pushed(remote, outcome)
    pushed = git("show", f"{outcome['commit']}:calc.py", cwd=remote)
    assert "def double(a):" in pushed
    message = git("log", "-1", "--format=%s", outcome["commit"], cwd=remote)
    assert message == "Add double(), which adds a number to itself."

    with urllib.request.urlopen(f"{claude_system.api}/agents/{agent_id}/status") as response:
        state = json.load(response)
    assert state["agent"] == "claude"
    assert state["sessionId"]
    usage = state["usage"]
    messages = len(api.main_requests)
    assert messages == len(TURNS)
    assert usage["inputTokens"] == messages * INPUT_USAGE["input_tokens"]
    assert usage["cacheReadTokens"] == messages * INPUT_USAGE["cache_read_input_tokens"]
    assert usage["cacheWriteTokens"] == messages * INPUT_USAGE["cache_creation_input_tokens"]
    assert usage["outputTokens"] == 70 + 20 + 10

    assert {request.headers["x-api-key"] for request in api.main_requests} == {KEY}
    assert KEY not in claude_system.orch("logs", agent_id).stdout
    assert KEY not in json.dumps(state)
