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


@pytest.mark.parametrize(
    "said",
    [
        "go.mod:3: invalid go version '1.25.2': must match format 1.23",
        "go: go.mod requires go >= 1.25 (running go 1.21.0; GOTOOLCHAIN=local)",
        "go.mod:5: unknown directive: toolchain",
        "error: package `a v1.0.0` cannot be built because it requires rustc 1.80 or newer",
        "lock file version 4 requires `-Znext-lockfile-bump`",
        "ERROR: Package 'a' requires a different Python: 3.11.7 not in '>=3.12'",
        "npm error code EBADENGINE",
        "ERR_PNPM_UNSUPPORTED_ENGINE  Unsupported environment (bad pnpm and/or Node.js version)",
        'error a@1.0.0: The engine "node" is incompatible with this module.',
    ],
)
def test_a_tool_of_another_version_is_for_the_host_to_mend(said):
    error = setup_error(Step("x"), ended(1, said), (), 5, ())
    assert "needs another version of a tool than this host has (fix the host)" in str(error)


def test_a_warning_about_a_version_is_not_why_a_set_up_failed():
    error = setup_error(Step("x"), ended(1, "npm warn EBADENGINE {\nerror 404"), (), 5, ())
    assert "fix the repository" in str(error)


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
