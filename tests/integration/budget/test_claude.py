"""The real Claude Code at its limit: stopped in mid-turn, its work kept, nobody else over it."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from pathlib import Path

import pytest

from tests.doubles.messages_api import MessagesApi, Request, Text, ToolCall, Turn
from tests.integration.conftest import running
from tests.integration.test_gates_end_to_end import working_in
from tests.processes import Observer, eventually, marked

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)
KEY = "sk-only-for-the-double"
AGENT, DAILY, RESERVATION = 100_000, 150_000, 10_000


def test_claude_code_is_gone_with_the_message_that_crosses_its_limit(
    remote, script, tmp_path, capsys
):
    seen, crossed_at = Observer(), []
    is_crossing = threading.Event()

    def works(request: Request) -> Turn:
        command = f"echo kept > {working_in(request)}/kept.txt"
        return Turn((ToolCall("Bash", {"command": command, "description": "Write"}),), 100)

    def crosses(request: Request) -> Turn:
        # Its id by its workspace: `orch spawn` may not have come back with it yet.
        seen.record(*marked(Path(working_in(request)).parent.name))
        crossed_at.append(time.monotonic())
        is_crossing.set()
        # A plain `sleep` Claude Code might refuse at once, and go on asking.
        command = {"command": "echo $$; exec sleep 600", "description": "Wait", "timeout": 600_000}
        long = ToolCall("Bash", command)
        return Turn((Text("A great deal."), long), output_tokens=200_000)

    with (
        MessagesApi((works, crosses), key=KEY) as api,
        running(
            tmp_path / "home",
            CLAUDE_API_KEY=KEY,
            ANTHROPIC_BASE_URL=api.url,
            BUDGET_PER_AGENT_TOKENS=str(AGENT),
            BUDGET_DAILY_TOKENS=str(DAILY),
            BUDGET_RESERVATION=str(RESERVATION),
        ) as system,
    ):
        # Beside it one that has spent what it reserved, and waits.
        beside = system.spawn(
            remote, script({"tokens": {"input": RESERVATION}}, {"hang": True}), agent="scripted"
        )
        eventually(lambda: spent(system, beside) == RESERVATION)
        agent_id = system.spawn(remote, "Spend.", agent="claude")
        try:
            assert is_crossing.wait(240)
            eventually(lambda: not seen.alive())
            gone_after_s = time.monotonic() - crossed_at[0]
            outcome = system.wait(agent_id)
            other = system.wait(beside)
            changed = system.orch("diff", agent_id).stdout
            found = json.loads(system.orch("budget", "--json").stdout)
        finally:
            seen.end()
        assert len(api.main_requests) == 2, "it asked for nothing more"
    with capsys.disabled():
        print(f" gone {gone_after_s:.3f} s after the answer that crossed was begun", end="")
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "budget_exceeded")
    assert "its limit is 100000" in outcome["error"]
    assert "+kept" in changed
    assert (other["status"], other["errorCode"]) == ("failed", "budget_exceeded")
    assert "Of today's 150000 tokens" in other["error"]
    assert (found["status"], found["reserved"]) == ("exceeded", 0)
    assert found["inNothing"]["tokens"] == found["used"]
    assert found["used"] == outcome["usage"]["totalTokens"] + RESERVATION


def spent(system, agent_id: str) -> int:
    state = json.loads(system.orch("status", agent_id, "--json").stdout)
    return int(state["usage"]["totalTokens"])
