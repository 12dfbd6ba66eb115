"""The guide leads from a clone to a pushed branch in less than five minutes, as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.conftest import free_port
from tests.docs.test_commands import blocks
from tests.docs.test_pages import ROOT
from tests.integration.conftest import SAMPLE, git, make_remote

GUIDE = ROOT / "docs" / "your-repository.md"
LIMIT_S = 300


def test_the_first_block_of_the_guide_ends_with_a_branch(tmp_path):
    """In a home of its own, for a repository that says nothing of the orchestrator."""
    remote = make_remote(tmp_path, {n: t for n, t in SAMPLE.items() if n.endswith(".py")})
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "orch").write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator.cli "$@"\n')
    (programs / "orch").chmod(0o755)
    names = {f"GIT_{who}_NAME": "Someone" for who in ("AUTHOR", "COMMITTER")}
    env = {
        **names,
        **{name.replace("NAME", "EMAIL"): "someone@example.org" for name in names},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "REPO": str(remote),
        "ORCHESTRATOR_AGENT": "scripted",
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_PORT": str(free_port()),
        "VALKEY_PORT": str(free_port()),
    }
    lines = blocks(GUIDE)[0]
    script = "\n".join(["set -e", *(line for line, _ in lines)])
    begun_s = time.monotonic()
    try:
        ran = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=env, text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["orch", "down"], env=env, capture_output=True, timeout=300, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert time.monotonic() - begun_s < LIMIT_S
    branches = git("for-each-ref", "--format=%(refname:short)", "refs/heads/agent", cwd=remote)
    assert ran.stdout.splitlines()[-1].strip() == f"origin/{branches}"
