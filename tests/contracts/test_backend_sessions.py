"""What every agent backend keeps about keys, sessions, models and configuration."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import (
    AgentJob,
    IgnoresAgentConfig,
    KeepsSessions,
    OffersModels,
)
from orchestrator.models import AgentType
from orchestrator.settings import load_settings
from orchestrator.wiring import BACKENDS
from tests.contracts.stand_ins import path_of_stand_ins

KEYS = {
    "CLAUDE_API_KEY": "sk-of-anthropic",
    "OPENAI_API_KEY": "sk-of-openai",
    "GEMINI_API_KEY": "sk-of-gemini",
}
SESSION = "01a22399-bb64-7212-99b3-d19f22065f8d"
SESSION_IDS = (SESSION, "", "*", "../../x", "/", "ses_x", "-x", "\ud800", "x" * 10_000)
#: What a stored session may be after an update, or if its object is damaged.
SESSIONS = (
    {},
    {"": ()},
    {"": ("", "no JSON", "null", "[]", '{"path": []}', '{"root": 7}', '{"payload": null}')},
    {"../../x": ("{}",)},
)


@pytest.fixture(params=BACKENDS.names())
def backend(request, tmp_path):
    """Each backend, with stand-ins of all programs on the PATH."""
    return BACKENDS.build(
        request.param, load_settings({"PATH": path_of_stand_ins(tmp_path), **KEYS})
    )


@pytest.fixture
def job(tmp_path):
    home = tmp_path / "workspace" / "home"
    home.mkdir(parents=True)
    return AgentJob("a-1", AgentType.WORKER, ("Do it.",), (), tmp_path / "tree", home)


@pytest.mark.parametrize("name", BACKENDS.names())
def test_its_module_states_its_secrets(name):
    assert BACKENDS.stated(name, "secrets")(load_settings({})) == ()


def test_no_key_is_an_argument_or_an_input(backend, job):
    try:
        launch = backend.launch(job)
    except BackendUnavailable:
        return
    for key in KEYS.values():
        assert key not in str(launch.argv)
        assert key.encode() not in launch.stdin
    assert all(not absent.startswith(("/", "..")) for absent in launch.absent)


def test_it_says_whether_it_ignores_configuration_and_which_models_it_takes(backend):
    if isinstance(backend, IgnoresAgentConfig):
        assert isinstance(backend.ignores_agent_config, bool)
    if isinstance(backend, OffersModels):
        for offered in (backend.models, backend.efforts):
            assert len(set(offered)) == len(offered)


@pytest.mark.parametrize("session_id", SESSION_IDS)
def test_an_odd_session_id_names_nothing_and_no_file_outside(backend, job, session_id):
    if not isinstance(backend, KeepsSessions):
        return
    outside = job.home.parent / "outside.jsonl"
    outside.write_text("{}\n")
    assert not backend.export_session(job.home, session_id)
    named = replace(job, session_id=session_id)
    try:
        launch = backend.launch(named)
    except BackendUnavailable:
        return
    if session_id not in ("", SESSION):
        assert session_id not in launch.argv


def test_a_hostile_home_is_read_without_a_wait(backend, job, tmp_path):
    """Named pipes, links to other files, and folders in place of files."""
    if not isinstance(backend, KeepsSessions):
        return
    secret = tmp_path / "secret"
    secret.write_text('{"secret": 1}\n')
    for folder in (
        *(".claude/projects/x", ".codex/sessions/2026/01/01", ".gemini/tmp/x/chats"),
        ".local/share/opencode",
    ):
        place = job.home / folder
        place.mkdir(parents=True)
        names = (f"{SESSION}.jsonl", f"rollout-x-{SESSION}.jsonl", f"session-x-{SESSION[:8]}.jsonl")
        for name in (*names, "opencode.db"):
            (place / name).symlink_to(secret)
        os.mkfifo(place / "pipe.jsonl")
        (place / "folder.jsonl").mkdir()
    assert "secret" not in json.dumps(dict(backend.export_session(job.home, SESSION)))


@pytest.mark.parametrize("session", SESSIONS)
def test_a_damaged_session_leaves_nothing_outside_the_home(backend, job, session):
    if not isinstance(backend, KeepsSessions):
        return
    before = sorted(Path(job.home.parent).iterdir())
    with suppress(OSError, ValueError):
        backend.import_session(replace(job, session_id=SESSION), session)
    assert sorted(Path(job.home.parent).iterdir()) == before
