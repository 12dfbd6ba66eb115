"""The backend of any ACP agent: its lines, its command line, and the files of its sessions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.backends.acp import build
from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import (
    AgentJob,
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import Foreign, ToolDone
from orchestrator.models import AgentType, Usage
from orchestrator.settings import load_settings

PREFIX = "ORCHESTRATOR_BACKENDS__ACP__"


def backend(**options: str):
    given = {f"{PREFIX}{name}": value for name, value in options.items()}
    return build(load_settings({"PATH": os.environ["PATH"], "CLAUDE_API_KEY": "key-1", **given}))


def job(root: Path, **more) -> AgentJob:
    (root / "home").mkdir(parents=True)
    items = ("Do it.",)
    return AgentJob("a-1", AgentType.WORKER, items, (), root / "tree", root / "home", **more)


def test_the_lines_of_the_client_are_read():
    usage = {"inputTokens": 7, "outputTokens": 3, "cachedReadTokens": 2, "cachedWriteTokens": 1}
    lines = [
        {"type": "session", "id": "s-1"},
        {"type": "message", "text": "I write."},
        {"type": "tool", "id": "t", "name": "edit", "detail": "calc.py"},
        {"type": "tool_done", "id": "t", "output": "no", "is_failed": True},
        {"type": "usage", **usage},
        {"type": "result", "ok": True, "summary": "", "cost_usd": 0.25},
        {"type": "of another client"},
    ]
    agent = backend(ARGV='["sh"]')
    signals = [one for line in lines for one in agent.signals(json.dumps(line).encode())]
    counted = Usage(input_tokens=7, output_tokens=3, cache_read_tokens=2, cache_write_tokens=1)
    assert signals == [
        SessionStarted("s-1"),
        AgentMessage("I write."),
        ToolUse("edit", "calc.py"),
        ToolDone("t", "no", is_failed=True),
        UsageReport("turn", counted),
        Result(ok=True, cost_usd=0.25),
        Foreign("not of the client", '{"type": "of another client"}'),
    ]


@pytest.mark.parametrize(
    ("summary", "is_limited"),
    [
        ("Internal error: API Error: 429 rate_limit_error", True),
        ("Internal error: overloaded", True),
        ("Authentication required", False),
        ("The agent stopped: refusal.", False),
    ],
)
def test_a_limit_of_the_provider_is_told_from_a_failure(summary, is_limited):
    line = json.dumps({"type": "result", "ok": False, "summary": summary})
    [result] = backend(ARGV='["sh"]').signals(line.encode())
    assert result == Result(ok=False, summary=summary, is_limited=is_limited)


def test_the_command_line_is_the_agents_own(tmp_path):
    agent = backend(ARGV='["sh", "-c", "{prompt}"]')
    given = json.loads(agent.launch(job(tmp_path)).stdin)
    assert given["argv"][0].endswith("/sh")
    assert given["argv"][1:] == ["-c", "{prompt}"]
    assert agent.check().endswith("/sh -c {prompt}")
    for nothing in ("[]", '[""]'):
        with pytest.raises(BackendUnavailable, match="has no program"):
            backend(ARGV=nothing).check()


def test_a_variable_of_the_options_leaves_out_the_providers(tmp_path):
    own = backend(ARGV='["sh"]', ENV=json.dumps({"ANTHROPIC_API_KEY": "of the options"}))
    env = own.launch(job(tmp_path)).env
    assert env["ANTHROPIC_API_KEY"] == "of the options"
    assert "ANTHROPIC_BASE_URL" not in env


def test_a_session_is_carried_to_another_workspace(tmp_path):
    """Names of folders have the path of the worktree in them; links and other files stay behind."""
    agent = backend(ARGV='["sh"]')
    first = job(tmp_path / "one")
    projects = first.home / ".claude" / "projects"
    name = str(first.worktree).replace("/", "-").replace("_", "-")
    (projects / name).mkdir(parents=True)
    (projects / name / "s-1.jsonl").write_bytes(b'{"a": 1}\n{"b": "\xc3\xa9\xe2\x80\xa8"}\nhalf')
    (projects / name / "s-1.bin").write_bytes(b"\x00\xff")
    (projects / "empty").mkdir()
    (first.home / ".claude" / "settings.json").write_text("{}")
    (tmp_path / "outside").write_text("secret")
    (projects / "link").symlink_to(tmp_path / "outside")
    session = agent.export_session(first.home, "s-1")
    assert "secret" not in str(session)

    second = job(tmp_path / "two", session_id="s-1")
    assert json.loads(agent.launch(second).stdin)["session"] is None
    agent.import_session(second, session)
    there = second.home / ".claude" / "projects" / name.replace("-one-", "-two-")
    assert (there / "s-1.jsonl").read_bytes() == (projects / name / "s-1.jsonl").read_bytes()
    assert (there / "s-1.bin").read_bytes() == b"\x00\xff"
    assert not (second.home / ".claude" / "settings.json").exists()
    assert json.loads(agent.launch(second).stdin)["session"] == "s-1"


@pytest.mark.parametrize(
    "path",
    ["../x", ".claude/projects/../../x", "/etc/x", ".claude/settings.json", ".claude/projects/a\0"],
)
def test_an_entry_with_a_path_elsewhere_is_left_out(tmp_path, path):
    agent, there = backend(ARGV='["sh"]'), job(tmp_path / "one", session_id="s-1")
    entries = [{"root": "/elsewhere"}, {"path": path, "text": "x"}, {"path": 7}, {"text": "x"}]
    agent.import_session(there, {"": [json.dumps(entry) for entry in entries] + ["no JSON"]})
    assert not list(there.home.iterdir())
    agent.import_session(there, {})
