"""A program of `command` finds the model providers of its egress proxy in its environment."""

from __future__ import annotations

import json
import sys

import pytest

from orchestrator.backends import command
from orchestrator.interfaces.agent import AgentJob, ModelAccess
from orchestrator.models import AgentType
from orchestrator.settings import load_settings

VARIABLES = {
    "openai": {"OPENAI_BASE_URL": "http://127.0.0.1:8118/openai/v1", "OPENAI_API_KEY": "p"},
    "gemini": {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8118/gemini", "GEMINI_API_KEY": "p"},
}
PREFIX = "ORCHESTRATOR_BACKENDS__COMMAND__"


def launched_env(tmp_path, model, **env):
    given = {f"{PREFIX}ARGV": json.dumps([sys.executable]), f"{PREFIX}ENV": json.dumps(env)}
    job = AgentJob("a-1", AgentType.WORKER, ("Do it.",), (), tmp_path, tmp_path, model=model)
    return command.build(load_settings(given)).launch(job).env


def test_it_gets_every_provider_of_the_proxy(tmp_path):
    access = ModelAccess("http://127.0.0.1:8118", "p", variables=VARIABLES)
    expected = VARIABLES["openai"] | VARIABLES["gemini"]
    assert launched_env(tmp_path, access) == expected
    assert launched_env(tmp_path, None) == {}


@pytest.mark.parametrize("name", VARIABLES["openai"])
def test_options_that_name_a_provider_replace_all_of_it(tmp_path, name):
    access = ModelAccess("http://127.0.0.1:8118", "p", variables=VARIABLES)
    assert launched_env(tmp_path, access, **{name: "own"}) == VARIABLES["gemini"] | {name: "own"}
