"""The model and the effort that a job names, as the backends pass them to their programs."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from orchestrator.backends import claude, command
from orchestrator.errors import SettingsInvalid
from orchestrator.interfaces.agent import OffersModels
from orchestrator.settings import load_settings

COMMAND = "ORCHESTRATOR_BACKENDS__COMMAND__"
CLAUDE = "ORCHESTRATOR_BACKENDS__CLAUDE__"


def program(argv, **options):
    given = {f"{COMMAND}{name.upper()}": value for name, value in options.items()}
    path = {"PATH": os.environ["PATH"], f"{COMMAND}ARGV": json.dumps(argv)}
    return command.build(load_settings({**path, **given}))


def arguments(job, argv, model=None, effort=None, **options):
    named = replace(job(), model_name=model, effort=effort)
    return program(argv, **options).launch(named).argv[1:]


def test_claude_is_started_with_the_model_and_effort_of_the_job(backend_of, job):
    options = {f"{CLAUDE}MODEL": "haiku", f"{CLAUDE}EFFORT": "low"}
    argv = backend_of(**options).launch(replace(job(), model_name="opus", effort="max")).argv
    assert argv[-4:] == ("--model", "opus", "--effort", "max")
    assert backend_of(**options).launch(job()).argv[-4:] == ("--model", "haiku", "--effort", "low")
    assert not {"--model", "--effort"} & {*backend_of().launch(job()).argv}


def test_claude_offers_the_models_of_its_provider_or_those_of_the_option():
    def models(**given):
        return claude.build(load_settings(given)).models

    assert "claude-*" in models()
    assert models(ANTHROPIC_BASE_URL="http://127.0.0.1:1") == ("*",)
    named = {f"{CLAUDE}MODELS": '["sonnet", "claude-haiku-*"]'}
    assert models(ANTHROPIC_BASE_URL="http://127.0.0.1:1", **named) == ("sonnet", "claude-haiku-*")
    with pytest.raises(SettingsInvalid, match="CLAUDE__MODELS"):
        models(**{f"{CLAUDE}MODELS": "sonnet"})
    with pytest.raises(SettingsInvalid, match="CLAUDE__EFFORT"):
        models(**{f"{CLAUDE}EFFORT": "extreme"})


def test_a_command_fills_in_model_and_effort_once(job):
    argv = ["sh", "{model}", "-e={effort}", "{prompt}"]
    filled = arguments(job, argv, "{prompt}{effort}", "high")
    assert filled[:2] == ("{prompt}{effort}", "-e=high")


@pytest.mark.parametrize(
    ("argv", "left"),
    [
        (["--model", "{model}", "run"], ("run",)),
        (["run", "-m", "{model}"], ("run",)),
        (["--model={model}", "run"], ("run",)),
        (["-v", "--model={model}"], ("-v",)),
        (["run", "{model}"], ("run",)),
        (["--model", "{model}", "--effort", "{effort}", "x"], ("x",)),
        (["{model}:{effort}", "x"], ("x",)),
    ],
)
def test_an_argument_whose_model_is_not_named_is_left_out(job, argv, left):
    assert arguments(job, ["sh", *argv]) == left


def test_the_options_name_a_model_where_the_job_does_not(job):
    argv = ["sh", "--model", "{model}", "{effort}"]
    assert arguments(job, argv, model="m-2", effort="e") == ("--model", "m-2", "e")
    assert arguments(job, argv) == ()
    backend = program(argv, model="m-1", effort="low")
    assert backend.launch(job()).argv[1:] == ("--model", "m-1", "low")


def test_a_command_offers_what_its_arguments_can_carry():
    def offered(argv, **options):
        backend = program(argv, **options)
        assert isinstance(backend, OffersModels)
        return backend.models, backend.efforts

    assert offered(["sh"]) == ((), ())
    assert offered(["sh", "--model={model}"]) == (("*",), ())
    assert offered(["sh", "{effort}"]) == ((), ("*",))
    given = {"models": '["a", "b-*"]', "efforts": '["low"]'}
    assert offered(["sh", "{model}", "{effort}"], **given) == (("a", "b-*"), ("low",))
    assert offered(["sh"], **given) == ((), ())
