"""Standard streams that are closed or full: a command still does its work, and reports it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.integration.cli.conftest import ORCH, REQUEST


def through_shell(orch, redirections, *arguments):
    """Run a command with the redirections of a shell; returns the ended process."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *ORCH, *arguments],
        env=orch.env,
        cwd=orch.cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_with_closed_streams_does_its_work(orch, closed):
    """Cron and daemons close streams: `kill-all` asked a standard input that was none."""
    agent_id = orch.spawn()

    done = through_shell(orch, closed, "kill-all", "--why", "night")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert orch.json("status", agent_id)["status"] == "killed"


def test_a_notice_that_cannot_be_written_does_not_hide_the_answer(orch):
    """The id of a spawned agent is printed, although the log of the script is on a full disk."""
    done = through_shell(orch, "2>/dev/full", "spawn", *REQUEST)
    refused = through_shell(orch, "2>/dev/full", "status", "absent-agent", "--json")

    assert done.returncode == 0
    assert orch.json("ls")["agents"][0]["agentId"] in done.stdout
    assert refused.returncode == 1


def test_an_answer_that_cannot_be_written_is_an_error_without_a_traceback(orch):
    """A script must see that it lost the answer, and that the command may have done its work."""
    orch.spawn()

    done = through_shell(orch, ">/dev/full", "ls")
    reported = through_shell(orch, ">/dev/full", "ls", "--json")

    assert done.returncode == reported.returncode == 1
    assert done.stderr.endswith("[disk_full]\n")
    assert "Traceback" not in done.stderr
    assert json.loads(reported.stderr)["errorCode"] == "disk_full"
