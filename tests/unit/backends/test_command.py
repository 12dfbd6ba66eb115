"""Any program is an agent: its arguments are filled in as text, never read by a shell."""

from __future__ import annotations

import json
import os

import pytest

from orchestrator.backends.command import build
from orchestrator.errors import BackendUnavailable, SettingsInvalid
from orchestrator.interfaces.agent import AgentJob, AgentMessage
from orchestrator.models import AgentType
from orchestrator.settings import load_settings

PREFIX = "ORCHESTRATOR_BACKENDS__COMMAND__"


def backend(argv, **options):
    options = {f"{PREFIX}{name.upper()}": value for name, value in options.items()}
    given = {"PATH": os.environ["PATH"], f"{PREFIX}ARGV": json.dumps(argv), **options}
    return build(load_settings(given))


@pytest.fixture
def job(tmp_path):
    return AgentJob(
        agent_id="a-1",
        agent_type=AgentType.WORKER,
        work_items=("Say $(id) {agent_id} {worktree}.",),
        skills=(),
        worktree=tmp_path / "tree",
        home=tmp_path,
    )


def test_placeholders_are_filled_in_once_and_nothing_else_is(job):
    argv = ["sh", "-c", "{agent_id}:{worktree}", "{prompt}", "{other} {} %s"]
    launch = backend(argv).launch(job)
    assert launch.argv[0].endswith("/sh")
    assert launch.argv[2] == f"a-1:{job.worktree}"
    assert "Say $(id) {agent_id} {worktree}." in launch.argv[3]
    assert launch.argv[4] == "{other} {} %s"


def test_the_prompt_is_its_input_too_for_arguments_have_a_limit(job):
    assert b"Say $(id)" in backend(["sh"]).launch(job).stdin


def test_its_environment_comes_from_the_option(job):
    launch = backend(["sh"], env='{"OPENAI_API_KEY": "k"}').launch(job)
    assert launch.env == {"OPENAI_API_KEY": "k"}
    assert backend(["sh"]).launch(job).env == {}


def test_each_line_is_a_message_whatever_its_bytes():
    assert backend(["sh"]).signals(b"caf\xc3\xa9 \xff") == (
        AgentMessage("café \N{REPLACEMENT CHARACTER}"),
    )
    assert not backend(["sh"]).reports_result


@pytest.mark.parametrize("argv", [[], ["no-such-program"], ["{prompt}"]])
def test_a_program_that_is_not_there_is_told_with_the_variable(job, argv):
    with pytest.raises(BackendUnavailable, match=f"{PREFIX}ARGV"):
        backend(argv).launch(job)
    with pytest.raises(BackendUnavailable, match=f"{PREFIX}ARGV"):
        backend(argv).check()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ARGV", "aider --yes"),
        ("ARGV", '"aider"'),
        ("ARGV", "[1]"),
        ("ENV", "[]"),
        ("ENV", '{"A": 1}'),
    ],
)
def test_a_wrong_option_is_told_with_its_variable_and_without_its_value(option, value):
    with pytest.raises(SettingsInvalid, match=f"^{PREFIX}{option}: ") as caught:
        build(load_settings({f"{PREFIX}{option}": value}))
    assert "aider" not in str(caught.value)
