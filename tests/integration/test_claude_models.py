"""The real Claude Code asks for the model, with the effort, that the request names."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess

import pytest

from orchestrator.backends.claude import _EFFORTS, build
from orchestrator.models import Status
from orchestrator.settings import load_settings
from tests.doubles.messages_api import MessagesApi, Text, ToolCall, Turn
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)


def write_a_file(request):
    worktree = re.search(r"(/[^\s\"\\]+/workspaces/[^/\s]+/tree)", json.dumps(request.body))
    written = {"file_path": f"{worktree[1]}/made.txt", "content": "made\n"}
    return Turn((ToolCall("Write", written),))


@pytest.fixture
def api():
    with MessagesApi([write_a_file, Turn((Text("Made it."),))], key="sk-for-the-double") as double:
        yield double


@pytest.fixture
def lab(api, tmp_path, valkey_url):
    given = {"CLAUDE_API_KEY": "sk-for-the-double", "ANTHROPIC_BASE_URL": api.url}
    return Lab(tmp_path, valkey_url, **given)


@pytest.fixture
def remote(tmp_path):
    return make_remote(tmp_path, SAMPLE)


def test_the_model_of_the_request_is_the_model_of_the_api_request(lab, remote, api):
    agent_id = lab.spawn(remote, agent="claude", model="claude-of-the-request", effort="low")
    agent = lab.work(agent_id)
    assert agent.error is None
    assert {one.body["model"] for one in api.main_requests} == {"claude-of-the-request"}
    assert len(api.main_requests) == 2
    assert lab.evaluate(agent_id).status is Status.COMPLETED


def test_claude_code_goes_on_as_a_fallback_with_the_model_of_the_entry(lab, remote, api):
    agent_id = lab.spawn(
        remote, {"limited": 3600}, fallback=[{"agent": "claude", "model": "claude-of-the-fallback"}]
    )
    lab.work(agent_id)
    assert lab.work(agent_id).error is None
    assert {one.body["model"] for one in api.main_requests} == {"claude-of-the-fallback"}


def test_the_efforts_are_those_of_the_program(tmp_path):
    settings = load_settings({"CLAUDE_API_KEY": "k", "PATH": os.environ["PATH"]})
    said = subprocess.run(
        [build(settings).check(), "--help"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"--effort <level>[^(]*\(([^)]*)\)", said)
    assert tuple(re.split(r",\s*", found[1])) == _EFFORTS
    assert "--model <model>" in said
