"""`orch demo` runs one agent to a pushed commit and leaves nothing running."""

from __future__ import annotations

import re
import shutil
import subprocess

from orchestrator.cli.local.instance import discover
from tests.conftest import free_port


def git(remote, *arguments):
    return subprocess.check_output(["git", "-C", remote, *arguments], text=True).strip()


def test_the_demo_ends_with_a_pushed_commit_and_nothing_running(orch):
    """The user's own settings, even a Valkey that is away, do not reach it."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    done = orch.run("demo", VALKEY_URL=away, ORCHESTRATOR_AGENT="claude")
    last = done.stdout.splitlines()[-1]
    agent_id, branch, commit, remote = re.fullmatch(
        r"agent (\S+) pushed branch (\S+) at commit (\w{40}) to (\S+)", last
    ).groups()
    assert branch == f"agent/{agent_id}"
    assert git(remote, "rev-parse", branch) == commit
    assert git(remote, "diff", "--name-only", f"main..{branch}").split() == [
        "greetings.py",
        "test_greetings.py",
    ]
    assert f"Agent-Id: {agent_id}" in git(remote, "log", "-1", "--format=%B", branch)
    assert discover(orch.cwd / "home" / "demo" / "home") is None


def test_a_demo_that_fails_says_why_and_leaves_nothing_running(orch):
    tools = orch.cwd / "bin"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    # Without python3 on its PATH the agent's own test run fails.
    done = orch.run("demo", code=1, PATH=str(tools))
    assert "orch: the agent has failed: " in done.stderr
    assert "python3" in done.stderr.partition("the agent has failed")[2]
    assert "pushed" not in done.stdout
    assert discover(orch.cwd / "home" / "demo" / "home") is None
