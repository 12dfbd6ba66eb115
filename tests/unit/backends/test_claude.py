"""Claude Code is started with its key alone."""

from __future__ import annotations

import os
import sys

import pytest

from orchestrator.backends.claude import build
from orchestrator.errors import BackendUnavailable
from orchestrator.settings import load_settings
from tests.unit.backends.conftest import SESSION


def test_the_key_is_in_the_environment_and_nowhere_else(backend_of, job, binary):
    launch = backend_of(ANTHROPIC_BASE_URL="http://127.0.0.1:1").launch(job())
    assert launch.argv[0] == str(binary)
    assert launch.env["ANTHROPIC_API_KEY"] == "key-1"
    assert launch.env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
    assert "key-1" not in f"{launch.argv}{launch.stdin}"
    assert b"Do it." in launch.stdin
    assert "ANTHROPIC_BASE_URL" not in backend_of().launch(job()).env


def test_the_model_is_an_option(backend_of, job):
    assert "--model" not in backend_of().launch(job()).argv
    launch = backend_of(ORCHESTRATOR_BACKENDS__CLAUDE__MODEL="opus").launch(job())
    assert launch.argv[-2:] == ("--model", "opus")


def test_only_a_session_that_is_in_this_home_is_resumed(backend_of, job, tmp_path):
    launch = backend_of().launch(job(session_id=SESSION))
    assert "--resume" not in launch.argv
    folder = tmp_path / ".claude" / "projects" / "-tree"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").touch()
    launch = backend_of().launch(job(session_id=SESSION))
    assert launch.argv[-2:] == ("--resume", SESSION)
    for disguised in ("*", "--help", f"../-tree/{SESSION}"):
        assert "--resume" not in backend_of().launch(job(session_id=disguised)).argv


def test_without_a_key_the_variable_is_named(backend_of, job):
    for ask in (lambda one: one.launch(job()), lambda one: one.check()):
        with pytest.raises(BackendUnavailable, match="CLAUDE_API_KEY is not set"):
            ask(backend_of(CLAUDE_API_KEY=""))


def test_without_the_binary_it_says_what_to_install(backend_of, job):
    backend = backend_of(ORCHESTRATOR_BACKENDS__CLAUDE__BINARY="/nowhere/claude")
    with pytest.raises(BackendUnavailable, match=r"/nowhere/claude.*extra `claude`"):
        backend.launch(job())


def test_the_binary_of_the_extra_comes_before_that_on_the_path(job, binary, monkeypatch, tmp_path):
    given = {"CLAUDE_API_KEY": "k", "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    package = tmp_path / "site" / "claude_agent_sdk"
    bundled = package / "_bundled" / "claude"
    bundled.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    bundled.write_text("")
    bundled.chmod(0o755)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    # Another test of this process may have imported the real one.
    monkeypatch.delitem(sys.modules, "claude_agent_sdk", raising=False)
    assert build(load_settings(given)).launch(job()).argv[0] == str(bundled)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert build(load_settings(given)).launch(job()).argv[0] == str(binary)
