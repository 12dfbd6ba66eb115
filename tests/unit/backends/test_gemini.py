"""The events of `gemini --output-format stream-json`, as 0.61.0 printed them, and its sessions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.backends.gemini import build
from orchestrator.interfaces.agent import (
    AgentJob,
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import ToolDone
from orchestrator.models import AgentType, Usage
from orchestrator.settings import load_settings

SESSION = "e13acde0-74cc-4a6c-a62c-e9344e5743bc"
RUN = """
{"type":"init","session_id":"e13acde0-74cc-4a6c-a62c-e9344e5743bc","model":"auto"}
{"type":"message","role":"user","content":"Write it."}
{"type":"message","role":"assistant","content":"I write."}
{"type":"tool_use","tool_name":"run_shell_command","tool_id":"t-1","parameters":{"command":"ls"}}
{"type":"tool_result","tool_id":"t-1","status":"success","output":"a.py"}
{"type":"result","status":"success","stats":{"input_tokens":300,"output_tokens":31,"cached":120}}
{"type":"end","code":0}
"""


@pytest.fixture
def backend(tmp_path):
    program = tmp_path / "gemini"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return build(load_settings({"PATH": str(tmp_path), "GEMINI_API_KEY": "key-1"}))


def read(backend, line: str) -> list[object]:
    return list(backend.signals(line.encode()))


def test_a_run_is_read_to_its_result(backend):
    signals = [one for line in RUN.strip().splitlines() for one in read(backend, line)]
    assert signals == [
        SessionStarted(SESSION),
        AgentMessage("I write."),
        ToolUse("run_shell_command", '{"command": "ls"}'),
        ToolDone("t-1", "a.py"),
        UsageReport("run", Usage(input_tokens=180, output_tokens=31, cache_read_tokens=120)),
        Result(ok=True),
    ]


@pytest.mark.parametrize(
    ("message", "is_limited"),
    [
        ("[API Error: Too Many Requests]\nPlease wait and try again later.", True),
        ('[API Error: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]', True),
        ('[API Error: {"error":{"code":401,"status":"UNAUTHENTICATED"}}]', False),
        ("Reached max session turns.", False),
    ],
)
def test_a_limit_of_the_provider_is_told_from_a_failure(backend, message, is_limited):
    line = json.dumps({"type": "result", "status": "error", "error": {"message": message}})
    assert read(backend, line) == [Result(ok=False, summary=message, is_limited=is_limited)]


def test_the_longer_file_of_a_session_is_carried_to_another_home(backend, tmp_path):
    """A resumed session has two files, one of which has its begin alone."""
    here, there = (tmp_path / name / "home" for name in ("here", "there"))
    chats = here / ".gemini" / "tmp" / "tree-1" / "chats"
    chats.mkdir(parents=True)
    whole = ('{"$set": {}}', '{"type": "user"}')
    write(chats / "session-1795894781043-e13acde0.jsonl", whole)
    write(chats / "session-2026-11-28T19-39-e13acde0.jsonl", whole[:1])
    write(chats / "session-2026-11-28T19-39-00000000.jsonl", whole * 9)
    session = backend.export_session(here, SESSION)
    assert session == {"": whole}
    assert backend.export_session(here, "*") == {}

    items = ("Do it.",)
    job = AgentJob("a-1", AgentType.WORKER, items, (), tmp_path, there, session_id=SESSION)
    assert b"--session-file" not in backend.launch(job).stdin
    backend.import_session(job, session)
    assert b"--session-file" in backend.launch(job).stdin
    assert b"--session-file" not in backend.launch(replace(job, session_id=None)).stdin


def write(path: Path, lines: tuple[str, ...]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
