"""`orch init` proposes what a development container says, and keeps a committed environment."""

from __future__ import annotations

import json
import tomllib

from tests.integration.test_init import FILE, init, make, shown

__all__ = ["make"]
PLACE = ".devcontainer/devcontainer.json"
CONTAINER = """{
  // comments are allowed
  "image": "ci.example.org/base:1",
  "features": {"ci.example.org/node:1": {}},
  "remoteUser": "vscode",
  "containerEnv": {"COLOUR": "blue \\" # ["},
  "postCreateCommand": {"a": "echo 1 > made", "b": ["touch", "a b"]},
}"""
#: No virtual environment is made for it.
PLAIN = {"Makefile": "test:\n\ttrue\n"}
SETUP = ["echo 1 > made", "touch 'a b'"]


def test_a_devcontainer_is_proposed_and_what_is_left_out_is_named(make):
    folder = make(PLAIN | {PLACE: CONTAINER})
    document, _ = shown(folder)
    config = tomllib.loads(document["config"])
    # This host runs programs outside Docker, so that the image would stop every agent.
    assert config["environment"] == {"setup": SETUP, "variables": {"COLOUR": 'blue " # ['}}
    assert '# image = "ci.example.org/base:1"' in document["config"]
    assert "SANDBOX_ENABLED" in document["environment"]["withheld"]["image"]
    assert [note.split()[0] for note in document["environment"]["notes"]] == [
        "features",
        "remoteUser",
    ]
    assert document["approvable"] is True
    assert document["environment"]["source"] == PLACE


def test_commands_that_fail_here_become_a_comment_with_the_reason(make):
    failing = json.dumps({"postCreateCommand": "echo no-such-tool; false"})
    folder = make(PLAIN | {PLACE: failing})
    ran = init(folder)
    assert ran.returncode == 0, ran.stderr
    assert "setup of .devcontainer/devcontainer.json is proposed as a comment" in ran.stderr
    text = (folder / FILE).read_text()
    assert '# setup = ["echo no-such-tool; false"]' in text
    assert "no-such-tool" in text.partition("# [environment]")[2]
    assert "environment" not in tomllib.loads(text)


def test_a_committed_environment_is_kept_and_its_image_is_checked(make):
    own = '[environment]\nimage = "other:1"\nsetup = []\nvariables = {A = "b"}\n'
    folder = make(PLAIN | {PLACE: CONTAINER, FILE: own})
    document, _ = shown(folder, "--force", "--no-run")
    kept = tomllib.loads(document["config"])["environment"]
    assert kept == {"image": "other:1", "setup": [], "variables": {"A": "b"}}
    assert document["approvable"] is False
    assert "SANDBOX_ENABLED" in document["environmentError"]
    assert document["environment"]["notes"] == [f"{PLACE} is not read: [environment] is there"]
