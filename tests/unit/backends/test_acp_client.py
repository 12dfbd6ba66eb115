"""The client of the Agent Client Protocol against a double of an agent: sessions, asks and ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends import _acp_client
from tests.doubles import acp_agent

CLIENT, AGENT = Path(_acp_client.__file__), Path(acp_agent.__file__)
JOB: dict[str, Any] = {
    "prompt": "Do it.", "session": None, "mode": None, "model": None, "effort": None, "auth": None,
    "meta": {}, "version": "0",
}  # fmt: skip
OPTIONS = [
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "once", "kind": "allow_once"},
    {"optionId": "no", "kind": "reject_once"},
]
CHUNK = "agent_message_chunk"


@pytest.fixture
def start(tmp_path):
    def begin(play: dict[str, Any], **more: Any) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-IS", str(AGENT), json.dumps(play)]
        client = subprocess.Popen(
            (sys.executable, "-I", "-S", str(CLIENT)),
            env={"PATH": os.environ["PATH"]},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.stdin is not None
        client.stdin.write(json.dumps({**JOB, "argv": argv, **more}).encode())
        client.stdin.close()
        client.stdin = None
        return client

    return begin


class Ended:
    """An ended client: its code, its lines, and what the agent received."""

    def __init__(self, client: subprocess.Popen[bytes]) -> None:
        out, err = client.communicate(timeout=120)
        self.code = client.returncode
        self.lines = [json.loads(line) for line in out.splitlines()]
        # The rest is what the agent printed that is not of the protocol.
        received = [line for line in err.splitlines() if line.startswith(b"{")]
        self.received = [json.loads(line) for line in received]
        self.stderr = err.decode()

    @property
    def methods(self) -> list[str]:
        return [message["method"] for message in self.received if "method" in message]


def text(words: str) -> dict[str, Any]:
    return {"sessionUpdate": CHUNK, "content": {"type": "text", "text": words}}


def test_a_turn_is_told_message_by_message_with_its_tools_tokens_and_cost(start, tmp_path):
    usage = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    updates = [
        {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "Hm."}},
        text("I "),
        text("write."),
        {"sessionUpdate": "tool_call", "toolCallId": "t", "kind": "edit", "title": "Edit"},
        {"sessionUpdate": "tool_call_update", "toolCallId": "t", "title": "Edit calc.py"},
        {
            "sessionUpdate": "tool_call_update",
            "toolCallId": "t",
            "status": "failed",
            "content": [{"type": "content", "content": {"type": "text", "text": "no"}}, {}, 5],
        },
        {"sessionUpdate": "unheard_of"},
        {"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": {"amount": 0.25}},
        text("Done."),
    ]
    ended = Ended(start({"updates": updates, "prompt": {"stopReason": "end_turn", "usage": usage}}))
    assert ended.code == 0
    assert ended.lines == [
        {"type": "session", "id": "s-1"},
        {"type": "message", "text": "I write."},
        {"type": "tool", "id": "t", "name": "edit", "detail": "Edit calc.py"},
        {"type": "tool_done", "id": "t", "output": "no", "is_failed": True},
        {"type": "message", "text": "Done."},
        {"type": "usage", **usage},
        {"type": "result", "ok": True, "summary": "", "cost_usd": 0.25},
    ]
    assert ended.methods == ["initialize", "session/new", "session/prompt"]
    assert ended.received[1]["params"]["cwd"] == str(tmp_path)
    assert ended.received[2]["params"]["prompt"] == [{"type": "text", "text": "Do it."}]
    assert "not of the protocol" in ended.stderr


def test_a_permission_is_given_once_and_anything_else_is_declined(start):
    asks = [
        ("session/request_permission", {"options": OPTIONS}),
        ("session/request_permission", {"options": OPTIONS[:1]}),
        ("session/request_permission", {"options": OPTIONS[2:]}),
        ("elicitation/create", {"message": "Which?"}),
        ("fs/read_text_file", {"path": "/etc/passwd"}),
    ]
    ended = Ended(start({"asks": asks}))
    answers = {one["id"]: one for one in ended.received if str(one.get("id")).startswith("ask-")}
    outcomes = [answers[f"ask-{number}"]["result"]["outcome"] for number in range(3)]
    assert outcomes == [
        {"outcome": "selected", "optionId": "once"},
        {"outcome": "selected", "optionId": "always"},
        {"outcome": "cancelled"},
    ]
    assert answers["ask-3"]["result"] == {"action": "decline"}
    assert answers["ask-4"]["error"]["code"] == -32601
    assert ended.code == 0


@pytest.mark.parametrize(
    ("does", "method"),
    [
        ({"loadSession": True}, "session/load"),
        ({"loadSession": True, "sessionCapabilities": {"resume": {}}}, "session/resume"),
    ],
)
def test_a_session_goes_on_and_its_history_is_not_told_again(start, does, method):
    play = {"initialize": {"agentCapabilities": does}, "replay": [text("Before.")], "session": {}}
    ended = Ended(start({**play, "updates": [text("After.")]}, session="s-1"))
    assert ended.methods == ["initialize", method, "session/prompt"]
    assert [line.get("text") for line in ended.lines if line["type"] == "message"] == ["After."]


def test_an_agent_that_cannot_load_a_session_says_so_before_it_works(start):
    ended = Ended(start({}, session="s-1"))
    assert ended.code == 1
    [result] = ended.lines
    assert result["ok"] is False
    assert "cannot load a session" in result["summary"]
    assert "session/prompt" not in ended.methods


def test_mode_model_and_effort_are_chosen_where_the_agent_offers_them(start):
    options = [
        {"id": "mode", "category": "mode"},
        {"id": "model-choice", "category": "model"},
        {"id": "thinking", "category": "thought_level"},
    ]
    ended = Ended(
        start(
            {"session": {"sessionId": "s-1", "configOptions": options}},
            mode="bypass",
            model="m-1",
            effort="high",
            auth="key",
        )
    )
    chosen = [one["params"] for one in ended.received if one.get("method", "").endswith("option")]
    assert [(one["configId"], one["value"]) for one in chosen] == [
        ("mode", "bypass"),
        ("model-choice", "m-1"),
        ("thinking", "high"),
    ]
    assert ended.received[1]["params"] == {"methodId": "key"}

    older = Ended(
        start({"session": {"sessionId": "s-1", "modes": {"x": 1}, "models": {"x": 1}}},
              mode="bypass", model="m-1")
    )  # fmt: skip
    assert older.methods[2:4] == ["session/set_mode", "session/set_model"]

    refused = Ended(start({}, model="m-1"))
    assert "offers no choice of its model" in refused.lines[-1]["summary"]
    assert refused.code == 1


@pytest.mark.parametrize(
    ("play", "summary"),
    [
        ({"prompt": {"stopReason": "refusal"}}, "The agent stopped: refusal."),
        ({"prompt": {}}, "The agent stopped: None."),
        ({"exits": True}, "the agent ended during session/prompt"),
        (
            {"errors": {"session/prompt": {"code": -32603, "message": "Internal error",
                                           "data": {"details": "429 Too Many Requests"}}}},
            "Internal error: 429 Too Many Requests",
        ),
        ({"errors": {"session/new": {"code": -32000, "message": "Authentication required"}}},
         "Authentication required"),
    ],
)  # fmt: skip
def test_any_other_end_is_a_failure_with_its_reason(start, play, summary):
    ended = Ended(start(play))
    assert ended.code == 1
    assert (ended.lines[-1]["ok"], ended.lines[-1]["summary"]) == (False, summary)


def test_a_sigterm_cancels_the_prompt(start):
    client = start({"hangs": True})
    assert client.stdout is not None
    seen = [json.loads(client.stdout.readline()) for _ in range(2)]
    assert [line["type"] for line in seen] == ["session", "tool"]
    client.terminate()
    ended = Ended(client)
    assert ended.methods[-1] == "session/cancel"
    assert ended.lines == [
        {"type": "result", "ok": False, "summary": "The agent stopped: cancelled.",
         "cost_usd": None},
    ]  # fmt: skip
    assert ended.code == 1
