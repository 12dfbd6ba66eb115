"""Clients that public generators make from /openapi.json, used on a running API."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.models import Status
from orchestrator.store import agents, kills

PROGRAMS = Path(__file__).parent / "clients"
INSTALLED = Path(__file__).parents[3] / "build" / "clients" / "node_modules"


def run(*command, **environ):
    """Run a program to its end, and return its last line."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip().rpartition("\n")[2]


def assert_killed(store, agent_id):
    assert store.run(agents.read(agent_id)).status is Status.KILLED
    assert store.run(kills.read_receipt(agent_id)).why == "by a client"


def test_a_python_client(api, store, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []\n")
    run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--url", f"{api.base_url}/openapi.json", "--config", config, "--fail-on-warning"),
        *("--output-path", tmp_path / "orchestrator_client"),
    )
    program = (sys.executable, "-W", "error", PROGRAMS / "use.py", api.base_url)
    assert_killed(store, run(*program, PYTHONPATH=str(tmp_path)))


@pytest.mark.skipif(not INSTALLED.exists(), reason="needs `make clients`")
def test_a_typescript_client(api, store, tmp_path):
    (tmp_path / "node_modules").symlink_to(INSTALLED)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(PROGRAMS / "use.ts", tmp_path)
    program = INSTALLED / ".bin"
    run(
        *(program / "openapi-typescript", f"{api.base_url}/openapi.json"),
        *("--default-non-nullable", "false", "--output", tmp_path / "api.d.ts"),
    )
    run(
        *(program / "tsc", "--strict", "--target", "es2022", "--module", "nodenext"),
        *("--outDir", tmp_path / "out", tmp_path / "use.ts"),
    )
    assert_killed(store, run("node", tmp_path / "out" / "use.js", api.base_url))
