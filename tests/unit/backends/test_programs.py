"""What the backends of agent programs share: key, model, program, policy and what a HOME may hold.

Each is started with what its settings say and no more: the key is in its environment alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import AgentJob, ModelAccess
from orchestrator.models import AgentType
from orchestrator.settings import Settings, load_settings
from orchestrator.wiring import BACKENDS

KEYS = {
    "CLAUDE_API_KEY": "sk-of-anthropic",
    "OPENAI_API_KEY": "sk-of-openai",
    "GEMINI_API_KEY": "sk-of-gemini",
}
PROGRAMS = {
    "acp": ("claude-agent-acp", "CLAUDE_API_KEY", "anthropic"),
    "codex": ("codex", "OPENAI_API_KEY", "openai"),
    "gemini": ("gemini", "GEMINI_API_KEY", "gemini"),
    "opencode": ("opencode", "CLAUDE_API_KEY", "anthropic"),
}
ROOT = "http://127.0.0.1:8118"
ADDRESSES = {
    "anthropic": ROOT,
    "openai": f"{ROOT}/openai/v1",
    "gemini": f"{ROOT}/gemini",
    "compatible": f"{ROOT}/compatible/v1",
}
VARIABLES = {
    "anthropic": {"ANTHROPIC_BASE_URL": ROOT, "ANTHROPIC_API_KEY": "placeholder"},
    "openai": {"OPENAI_BASE_URL": ADDRESSES["openai"], "OPENAI_API_KEY": "placeholder"},
}
PROXIED = ModelAccess(ROOT, "placeholder", ADDRESSES, VARIABLES)


@pytest.fixture(params=PROGRAMS)
def name(request):
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with a stand-in of every program."""
    for program, _, _ in PROGRAMS.values():
        stand_in = tmp_path / "bin" / program
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text("#!/bin/sh\n")
        stand_in.chmod(0o755)
    return str(tmp_path / "bin")


@pytest.fixture
def job(tmp_path: Path) -> AgentJob:
    for folder in ("tree", "home"):
        (tmp_path / folder).mkdir()
    items = ("Do it.",)
    return AgentJob("a-1", AgentType.WORKER, items, (), tmp_path / "tree", tmp_path / "home")


def settings(path: str, **more: str) -> Settings:
    return load_settings({"PATH": path, **KEYS, **more})


def test_the_key_is_in_the_environment_and_nowhere_else(name, path, job):
    _, variable, _ = PROGRAMS[name]
    launch = BACKENDS.build(name, settings(path)).launch(job)
    assert KEYS[variable] in launch.env.values()
    assert KEYS[variable] not in str(launch.argv)
    assert KEYS[variable].encode() not in launch.stdin
    others = set(KEYS.values()) - {KEYS[variable]}
    assert not any(other in str(launch.env) for other in others)


def test_behind_the_proxy_it_gets_a_placeholder_and_the_address_of_the_proxy(name, path, job):
    launch = BACKENDS.build(name, settings(path)).launch(replace(job, model=PROXIED))
    given = str((launch.argv, dict(launch.env), launch.stdin))
    assert not any(key in given for key in KEYS.values())
    assert "placeholder" in launch.env.values()
    _, _, provider = PROGRAMS[name]
    assert ADDRESSES[provider] in given


def test_a_missing_program_is_named_with_what_to_install(name, job):
    backend = BACKENDS.build(name, settings("/nonexistent"))
    with pytest.raises(BackendUnavailable) as failed:
        backend.check()
    assert PROGRAMS[name][0] in str(failed.value)
    assert "npm install" in str(failed.value)
    with pytest.raises(BackendUnavailable):
        backend.launch(job)


def test_a_missing_key_is_named(path, job):
    for name, (_, variable, _) in PROGRAMS.items():
        backend = BACKENDS.build(name, load_settings({"PATH": path}))
        if name == "acp":
            # Any agent: it may have a key of its own.
            assert not set(backend.launch(job).env) & set(KEYS)
            continue
        for call in (backend.check, lambda backend=backend: backend.launch(job)):
            with pytest.raises(BackendUnavailable, match=f"{variable} is not set"):
                call()


def test_the_model_of_the_job_counts_more_than_the_option(name, path, job):
    option = {f"ORCHESTRATOR_BACKENDS__{name.upper()}__MODEL": "model-of-the-option"}
    backend = BACKENDS.build(name, settings(path, **option))
    plain, named = backend.launch(job), backend.launch(replace(job, model_name="model-of-the-job"))
    for launch, model in ((plain, "model-of-the-option"), (named, "model-of-the-job")):
        assert model in str((launch.argv, launch.stdin))
    assert "model-of-the-option" not in str((named.argv, named.stdin, dict(named.env)))


def test_an_effort_reaches_the_programs_that_take_one(name, path, job):
    backend = BACKENDS.build(name, settings(path))
    launch = backend.launch(replace(job, effort="high"))
    assert ("high" in str((launch.argv, launch.stdin))) is bool(backend.efforts)


def test_a_file_that_a_hook_left_in_the_home_is_absent_at_the_start(path, job):
    for name in ("codex", "gemini", "opencode"):
        launch = BACKENDS.build(name, settings(path)).launch(job)
        assert launch.absent
        assert not any(absent.startswith("/") for absent in launch.absent)


def test_the_configuration_of_the_repository_is_off_unless_it_is_trusted(path, job):
    def given(name: str, policy: str) -> str:
        backend = BACKENDS.build(name, settings(path, ORCHESTRATOR_AGENT_CONFIG=policy))
        launch = backend.launch(job)
        return str((launch.argv, launch.stdin, dict(launch.env)))

    marks = {
        "codex": ('trust_level"="untrusted"', 'trust_level"="trusted"'),
        "gemini": ("--skip-trust", "GEMINI_CLI_TRUST_WORKSPACE"),
        "opencode": ("OPENCODE_DISABLE_PROJECT_CONFIG", None),
        "acp": ("settingSources", None),
    }
    for name, (content, trusted) in marks.items():
        assert content in given(name, "content")
        assert content not in given(name, "trusted")
        if trusted:
            assert trusted in given(name, "trusted")
            assert trusted not in given(name, "content")


def test_the_packages_of_a_program_of_npm_are_shown_to_it(tmp_path, job):
    modules = tmp_path / "lib" / "node_modules"
    real = modules / "@google" / "gemini-cli" / "bundle" / "gemini.js"
    real.parent.mkdir(parents=True)
    real.write_text("#!/usr/bin/env node\n")
    real.chmod(0o755)
    linked = tmp_path / "bin" / "gemini"
    linked.parent.mkdir()
    linked.symlink_to(real)
    launch = BACKENDS.build("gemini", settings(str(linked.parent))).launch(job)
    assert modules in launch.readable


def test_the_binary_of_codex_is_started_without_node(tmp_path, job):
    modules = tmp_path / "lib" / "node_modules"
    script = modules / "@openai" / "codex" / "bin" / "codex.js"
    binary = modules / "@openai" / "codex-linux-x64" / "vendor" / "musl" / "bin" / "codex"
    for file in (script, binary):
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    linked = tmp_path / "bin" / "codex"
    linked.parent.mkdir()
    linked.symlink_to(script)
    launch = BACKENDS.build("codex", settings(str(linked.parent))).launch(job)
    assert launch.argv[0] == str(binary)


def test_the_secrets_of_the_acp_agents_environment_are_masked(path):
    variable = "ORCHESTRATOR_BACKENDS__ACP__ENV"
    given = settings(path, **{variable: json.dumps({"OTHER_KEY": "key-of-another-agent"})})
    assert "key-of-another-agent" in BACKENDS.stated("acp", "secrets")(given)
