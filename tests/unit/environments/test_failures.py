"""The error of a failed set-up names the command, its output's end, and who has to act."""

from __future__ import annotations

import re

import pytest

from orchestrator.environments.failures import setup_error
from orchestrator.environments.steps import Step
from orchestrator.interfaces.run import Completed


def ended(code: int, said: str, *, timed_out: bool = False) -> Completed:
    return Completed(code, b"", said.encode(), timed_out, truncated=False, duration_ms=1)


@pytest.mark.parametrize(
    ("code", "said", "refused", "words"),
    [
        (1, "ERROR: no version of x", (), "fix the repository"),
        (127, "/bin/sh: 1: poetry: not found", (), "needs poetry, which is not installed"),
        (1, "Temporary failure in name resolution", (), "could not reach a registry"),
        (
            1,
            "x",
            ("index.example.org:443 refused",),
            "ORCHESTRATOR_EGRESS_HOSTS does not name: index.example.org",
        ),
        (137, "", (), "SIGKILL.*fix the host"),
        (-9, "", (), "SIGKILL.*fix the host"),
    ],
)
def test_the_cause_says_who_has_to_act(code, said, refused, words):
    error = setup_error(Step("make x", "web"), ended(code, said), refused, 5, ())
    assert error.code == "environment_failed"
    assert "cd web && make x" in str(error)
    assert re.search(words, str(error))
    if said:
        assert said in str(error)


def test_a_time_limit_names_its_setting():
    error = setup_error(Step("x"), ended(-9, "", timed_out=True), (), 5, ())
    assert "within 5 s (ORCHESTRATOR_SETUP_TIMEOUT)" in str(error)


def test_a_full_disk_is_a_full_disk():
    error = setup_error(Step("x"), ended(1, "tar: a: No space left on device"), (), 5, ())
    assert error.code == "disk_full"


def test_secrets_of_the_operator_are_masked_and_long_output_is_cut():
    said = "x\n" * 500 + "cannot open https://user:hunter22@index\n" + "last"
    error = setup_error(Step("x"), ended(1, said), (), 5, ("hunter22",))
    assert "hunter22" not in str(error)
    assert "last" in str(error)
    assert len(str(error)) < 2000
