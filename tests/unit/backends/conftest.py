"""A Claude Code backend with a stand-in for its binary."""

from __future__ import annotations

import json
import uuid

import pytest

from orchestrator.backends.claude import build
from orchestrator.interfaces.agent import (
    AgentJob,
)
from orchestrator.models import AgentType
from orchestrator.settings import load_settings

SESSION = "7329a7de-e930-47d3-a2b4-c1514c93d9f9"


@pytest.fixture
def binary(tmp_path):
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def backend_of(binary):
    def make(**given):
        options = {"ORCHESTRATOR_BACKENDS__CLAUDE__BINARY": str(binary), "CLAUDE_API_KEY": "key-1"}
        return build(load_settings({**options, **given}))

    return make


@pytest.fixture
def job(tmp_path):
    def make(**changes):
        given = {
            "agent_id": str(uuid.uuid4()),
            "agent_type": AgentType.WORKER,
            "work_items": ("Do it.",),
            "skills": (),
            "worktree": tmp_path,
            "home": tmp_path,
        }
        return AgentJob(**{**given, **changes})

    return make


def read(backend, **event):
    return list(backend.signals(json.dumps(event).encode()))
