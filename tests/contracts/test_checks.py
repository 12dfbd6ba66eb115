"""Every check fulfils the contract of a gate check."""

from __future__ import annotations

import hashlib
import importlib
import re
from functools import partial
from pathlib import Path

import pytest

from orchestrator.models import GateStatus
from tests.contracts.checks import CHECKS, ERRORED, FAILED, PASSED, REPORT, judge

#: The checks that judge a command; what another file brings may judge by other means.
BY_COMMAND = ("command", "tests", "coverage")

#: What each check needs beside exit 0.
EVIDENCE = f"echo 1 passed in 0.01s; echo '{REPORT}' >report.json; "


@pytest.fixture(params=BY_COMMAND)
def judged(request, checkout):
    return partial(judge, request.param, checkout=checkout)


@pytest.mark.parametrize("name", CHECKS.names())
def test_it_says_what_it_is(name):
    assert importlib.import_module(f"{CHECKS.package}.{name}").__doc__


def test_a_command_that_ends_well_passes_with_its_evidence(judged):
    result = judged("printf '1 passed in 0.01s'; " + f"echo '{REPORT}' >report.json")
    digest = hashlib.sha256(b"1 passed in 0.01s").hexdigest()
    assert (result.status, result.exit_code, result.output_digest) == (PASSED, 0, digest)


def test_a_gate_without_a_command_is_missing(judged):
    result = judged(None, hint="add this", report=None, minimum=None)
    assert (result.status, result.detail) == (GateStatus.MISSING, "add this")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("echo no; exit 1", FAILED, "no"),
        ("no-such-tool --x", ERRORED, "needs a tool that is not installed: .*no-such-tool"),
        ("touch x; ./x", ERRORED, "needs a tool that is not installed: .*denied"),
        ("printf 'x: not found\\n\\n' >&2; exit 127", ERRORED, "not installed: x: not found"),
        ("exit 127", ERRORED, "needs a tool that is not installed"),
        ("python3 -m no_such_tool", ERRORED, "not installed: .*No module named no_such_tool"),
        ("printf 'x:\\n\\tno-such-tool' >Makefile; make x", ERRORED, "not installed: make"),
        ("kill -KILL $$", ERRORED, "SIGKILL: .*memory"),
        ("sh -c 'kill -KILL $$'; exit $?", ERRORED, "SIGKILL: .*memory"),
        ("kill -SEGV $$", ERRORED, "SIGSEGV"),
        ("head -c 1000000000 /dev/zero", ERRORED, "printed more than is kept"),
        ("echo No module named x; echo end; exit 1", FAILED, "end"),
    ],
)
def test_whatever_goes_wrong_does_not_pass_and_says_what_happened(judged, command, status, said):
    result = judged(EVIDENCE + command)
    assert result.status is status
    assert re.search(said, result.detail)


def test_a_tool_that_another_one_replaces_is_no_lack(judged):
    result = judged(EVIDENCE + "echo 'error: no such command: `nextest`' >&2")
    assert result.status is PASSED


def test_what_passes_is_quoted_by_its_last_line_of_text(checkout):
    result = judge("command", r"printf 'checking\nAll checks passed!\n\n'", checkout)
    assert (result.status, result.detail) == (PASSED, "All checks passed!")


def test_a_gate_that_hangs_is_ended(judged):
    result = judged(EVIDENCE + "sleep 1000", timeout_s=0.5)
    assert result.status is GateStatus.TIMED_OUT
    assert result.detail.startswith("not finished after 0.5 s")


def test_a_daemon_neither_holds_the_gate_nor_outlives_it(judged, checkout):
    result = judged(EVIDENCE + "setsid sleep 1000 & echo $! >pid")
    assert result.status is PASSED
    assert not Path("/proc", (checkout / "pid").read_text().strip()).exists()


def test_a_checkout_that_is_gone_is_a_result(judged, checkout):
    checkout.rmdir()
    assert judged("true").status is ERRORED


def test_the_detail_is_plain_text_of_limited_length(judged):
    says = r"printf '\033[31mFAILED red\033[0m \342\200\256 \000 \377\nFAILED <b>\n'; "
    result = judged(
        says + "yes 'FAILED again' | head -n 9 | cat -n; seq -f 'FAILED %g' 999; exit 1"
    )
    assert "FAILED red" in result.detail
    assert result.detail.replace("\n", "").isprintable()
    assert len(result.detail) <= 2000
