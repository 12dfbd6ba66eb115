"""The events of `codex exec --json`, as Codex 0.171.0 printed them, and its session files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.backends._codex_events import read_event
from orchestrator.backends._codex_session import has_session, read_session, write_session
from orchestrator.interfaces.agent import (
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import ToolDone
from orchestrator.models import Usage

THREAD = "01a22399-bb64-7212-99b3-d19f22065f8d"
RUN = """
{"type":"thread.started","thread_id":"01a22399-bb64-7212-99b3-d19f22065f8d"}
{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Unknown model."}}
{"type":"turn.started"}
{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"ls"}}
{"type":"item.completed","item":{"id":"item_1","type":"command_execution","status":"failed","aggregated_output":"no"}}
{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"Done."}}
{"type":"item.completed","item":{"id":"item_3","type":"reasoning","text":"Hm."}}
{"type":"turn.completed","usage":{"input_tokens":200,"cached_input_tokens":80,"output_tokens":30}}
"""
COUNTED = json.dumps(
    {
        "type": "event_msg",
        "payload": {
            "type": "token_count",
            "info": {
                "total_token_usage": {"input_tokens": 100, "output_tokens": 20},
                "last_token_usage": {"input_tokens": 100, "output_tokens": 20},
            },
        },
    }
)
META = json.dumps({"type": "session_meta", "payload": {"id": THREAD}})


def read(line: str) -> list[object]:
    return list(read_event(line.encode()))


def test_a_run_is_read_to_its_result():
    signals = [one for line in RUN.strip().splitlines() for one in read(line)]
    usage = Usage(input_tokens=120, output_tokens=30, cache_read_tokens=80)
    assert signals == [
        SessionStarted(THREAD),
        AgentMessage("Unknown model."),
        ToolUse("command_execution", "ls"),
        ToolDone("item_1", "no", is_failed=True),
        AgentMessage("Done."),
        UsageReport("turn", usage),
        Result(ok=True),
    ]
    notices = [one.is_notice for one in signals if isinstance(one, AgentMessage)]
    assert notices == [True, False], "an error of the program costs no tokens"
    [report] = [one for one in signals if isinstance(one, UsageReport)]
    assert report.is_sum
    assert report.has_own_id


@pytest.mark.parametrize(
    ("message", "is_limited"),
    [
        ("exceeded retry limit, last status: 429 Too Many Requests", True),
        ("We’re currently experiencing high demand, which may cause temporary errors.", True),
        ("You've hit your usage limit.", True),
        ("unexpected status 401 Unauthorized: Unauthorized", False),
        ("stream disconnected before completion", False),
    ],
)
def test_a_limit_of_the_provider_is_told_from_a_failure(message, is_limited):
    line = json.dumps({"type": "turn.failed", "error": {"message": message}})
    assert read(line) == [Result(ok=False, summary=message, is_limited=is_limited)]


def test_a_thread_id_of_another_form_is_no_session():
    assert read('{"type":"thread.started","thread_id":"../../x"}') == []


def test_more_cached_tokens_than_input_are_not_less_than_none():
    usage = {"input_tokens": 5, "cached_input_tokens": 9, "cache_write_input_tokens": 9}
    report, _ = read(json.dumps({"type": "turn.completed", "usage": usage}))
    assert report.usage == Usage(cache_read_tokens=5)


def home(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name / "home"
    made.mkdir(parents=True)
    return made


def test_a_session_comes_back_with_its_tokens_at_nought(tmp_path):
    """The turn that resumes it reports the sum of the thread, of which the rest is charged."""
    first, second = home(tmp_path, "here"), home(tmp_path, "there")
    rollout = first / ".codex/sessions/2026/11/28" / f"rollout-2026-11-28T19-20-46-{THREAD}.jsonl"
    rollout.parent.mkdir(parents=True)
    rollout.write_text(f"{META}\n{COUNTED}\nno JSON\n")
    left = read_session(first, THREAD)
    assert left == {"": (META, COUNTED)}
    write_session(second, THREAD, left)
    assert has_session(second, THREAD)
    assert not has_session(second, THREAD.replace("0", "1"))
    meta, counted = read_session(second, THREAD)[""]
    info = json.loads(counted)["payload"]["info"]
    assert meta == META
    assert info["total_token_usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert info["last_token_usage"] == {"input_tokens": 100, "output_tokens": 20}


def test_a_link_in_a_hostile_home_is_not_followed(tmp_path):
    hostile, outside = home(tmp_path, "hostile"), tmp_path / "outside"
    write_session(outside, THREAD, {"": (META,)})
    assert read_session(outside, THREAD)
    (hostile / ".codex").symlink_to(outside / ".codex")
    assert read_session(hostile, THREAD) == {}
    assert read_session(hostile, "*") == {}
