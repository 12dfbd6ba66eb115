"""The real Claude Code in the middle of a long command: killed, and nothing of it is left."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.faults.conftest import Fleet, request_body
from tests.processes import Observer, eventually, marked

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_claude_code_and_its_long_command_are_killed(
    fleet: Fleet, remote: Path, observer: Observer
):
    body = request_body(remote, agent="claude")
    body["context"]["workItems"] = ["Wait for a while."]
    status, answer = fleet.call("POST", "/agents/spawn", body)
    assert status == 201
    agent_id = answer["agentId"]

    def sleeps() -> bool:
        observer.record(*marked(agent_id))
        return any(name_of(pid) == "sleep" for pid in observer.alive())

    eventually(sleeps)
    names = {name_of(pid) for pid in observer.alive()}
    assert "claude" in names, names
    assert fleet.kill(agent_id)[0] == 200
    assert observer.alive() == set()
    # Saving its work carries its mark too, and ends.
    eventually(lambda: not marked(agent_id))
    receipt = fleet.receipt(agent_id)
    assert (receipt["confirmedBy"], receipt["survivors"]) == ("worker", [])
