"""The events of `opencode run --format json`, as OpenCode 1.18.33 printed them, and its config."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.backends import opencode
from orchestrator.backends.opencode import build
from orchestrator.errors import BackendUnavailable
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

SESSION = "ses_ddc5a5371ffeTiUYhbqNx1EPCA"
RUN = """
{"type":"step_start","sessionID":"ses_ddc5a5371ffeTiUYhbqNx1EPCA","part":{"type":"step-start"}}
{"type":"text","part":{"type":"text","text":"I write."}}
{"type":"tool_use","part":{"type":"tool","tool":"bash","callID":"c1","state":{"input":{"command":"ls"},"status":"completed","output":"a.py"}}}
{"type":"step_finish","part":{"id":"prt_1","tokens":{"total":143,"input":100,"output":15,"reasoning":5,"cache":{"write":20,"read":3}}}}
{"type":"end","code":0}
"""
#: As it is written to the log at a 429.
REFUSED = (
    'timestamp=2026-11-28T19:44:49.493Z level=ERROR run=d13c15ba message="stream error"'
    " providerID=openai modelID=gpt-5.6-terra session.id=ses_1 small={} agent=build mode=primary"
    ' error.error="AI_APICallError: {}"'
)


@pytest.fixture
def backend_of(tmp_path):
    program = tmp_path / "opencode"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def make(**given: str):
        keys = {"CLAUDE_API_KEY": "key-1", "OPENAI_API_KEY": "key-2", "GEMINI_API_KEY": "key-3"}
        options = {f"ORCHESTRATOR_BACKENDS__OPENCODE__{name}": one for name, one in given.items()}
        server = {"OPENAI_COMPATIBLE_BASE_URL": "http://server.example/v1"}
        return build(load_settings({"PATH": str(tmp_path), **keys, **server, **options}))

    return make


@pytest.fixture
def job(tmp_path):
    home = tmp_path / "a" / "home"
    home.mkdir(parents=True)
    return AgentJob("a-1", AgentType.WORKER, ("Do it.",), (), tmp_path, home, session_id=SESSION)


def test_a_run_is_read_to_its_result(backend_of):
    backend = backend_of()
    signals = [one for line in RUN.strip().splitlines() for one in backend.signals(line.encode())]
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=3, cache_write_tokens=20)
    assert signals == [
        SessionStarted(SESSION),
        AgentMessage("I write."),
        ToolUse("bash", '{"command": "ls"}'),
        ToolDone("c1", "a.py"),
        UsageReport("prt_1", usage),
        Result(ok=True),
    ]


@pytest.mark.parametrize(
    ("data", "is_limited"),
    [
        ({"message": "Too Many Requests"}, True),
        ({"message": "Slow down", "statusCode": 429}, True),
        ({"message": "Unauthorized", "statusCode": 401}, False),
    ],
)
def test_a_limit_of_the_provider_is_told_from_a_failure(backend_of, data, is_limited):
    line = json.dumps({"type": "error", "error": {"name": "APIError", "data": data}})
    [result] = backend_of().signals(line.encode())
    assert result == Result(ok=False, summary=data["message"], is_limited=is_limited)
    assert backend_of().signals(b'{"type": "end", "code": 1}') == ()


@pytest.mark.parametrize(
    ("is_small", "words", "is_found"),
    [
        ("false", "Too Many Requests", True),
        ("false", "Rate limit reached for model", True),
        ("true", "Too Many Requests", False),
        ("false", "Internal Server Error", False),
    ],
)
def test_the_client_ends_a_program_whose_requests_are_refused(is_small, words, is_found):
    line = REFUSED.format(is_small, words)
    assert bool(re.search(opencode._REFUSED, line)) is is_found


@pytest.mark.parametrize(
    ("provider", "name", "url"),
    [
        ("anthropic", "anthropic", "https://api.anthropic.com/v1"),
        ("openai", "openai", "https://api.openai.com/v1"),
        ("gemini", "google", "https://generativelanguage.googleapis.com/v1beta"),
        ("compatible", "compatible", "http://server.example/v1"),
    ],
)
def test_each_provider_has_its_own_name_and_address_there(backend_of, job, provider, name, url):
    launch = backend_of(PROVIDER=provider, MODEL="m").launch(job)
    config = json.loads(launch.env["OPENCODE_CONFIG_CONTENT"])
    assert config["enabled_providers"] == [name]
    assert config["provider"][name]["options"]["baseURL"] == url
    assert f"{name}/m" in launch.stdin.decode()


def test_another_server_needs_the_name_of_a_model(backend_of):
    with pytest.raises(BackendUnavailable, match="name of a model"):
        backend_of(PROVIDER="compatible").check()


def test_a_session_is_resumed_only_where_it_began(backend_of, job, tmp_path):
    backend = backend_of()
    database = job.home / ".local/share/opencode/opencode.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"SQLite format 3\0\xff")
    session = backend.export_session(job.home, SESSION)
    assert b"--session" in backend.launch(job).stdin
    database.unlink()
    assert b"--session" not in backend.launch(job).stdin
    backend.import_session(job, session)
    assert database.read_bytes() == b"SQLite format 3\0\xff"

    elsewhere = AgentJob("a-1", AgentType.WORKER, ("x",), (), tmp_path, tmp_path / "b" / "home")
    with pytest.raises(ValueError, match="only at the path"):
        backend.import_session(elsewhere, session)
