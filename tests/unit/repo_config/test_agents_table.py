"""The table `[agents]`: the default model and effort of a repository."""

from __future__ import annotations

import pytest

from orchestrator.errors import RepoConfigInvalid
from orchestrator.repo_config import read_repo_config


def read(text, path="orchestrator.toml"):
    return read_repo_config({path: text.encode()}.get)


def test_it_names_a_model_and_an_effort():
    config = read('[agents]\nmodel = "org/name:tag"\neffort = "high"\n')
    assert (config.agents.model, config.agents.effort) == ("org/name:tag", "high")
    other = read('[tool.orchestrator.agents]\nmodel = "m"\n', "pyproject.toml")
    assert (other.agents.model, other.agents.effort) == ("m", None)
    assert read("").agents.model is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model = ""', r"\[agents\] model"),
        ('model = "--danger"', r"\[agents\] model"),
        ("model = 5", r"\[agents\] model: must be a string"),
        ('effort = "Very High"', r"\[agents\] effort"),
        ('modle = "m"', r"there is no key 'modle' \(did you mean model\?\)"),
        ('fallback = ["a"]', r"there is no key 'fallback'"),
        ('model = "m"\nhonour = [".claude"]', "does not support the key honour yet"),
    ],
)
def test_a_wrong_value_names_file_table_and_key(text, message):
    with pytest.raises(RepoConfigInvalid, match=message):
        read(f"[agents]\n{text}\n")
