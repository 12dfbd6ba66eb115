"""`orch up` says on a terminal which program it waits for, and says nothing else to a script."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import free_port

ORCH = (sys.executable, "-m", "orchestrator.cli")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_start_shows_what_it_waits_for_unless_it_prints_json(tmp_path: Path, options):
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "TERM": "xterm",
        "COLUMNS": "100",
        "ORCHESTRATOR_HOME": str(tmp_path),
        "ORCHESTRATOR_PORT": str(free_port()),
        "VALKEY_PORT": str(free_port()),
    }
    ours, theirs = pty.openpty()
    up = (*ORCH, "up", "--detach", *options)
    with subprocess.Popen(up, env=env, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            # Read while it runs, so that a full terminal cannot hold it back.
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:
            pass  # the last holder of the terminal has closed it
        finally:
            os.close(ours)
            stdout, _ = process.communicate()
            subprocess.run((*ORCH, "down"), env=env, check=process.returncode == 0)
    assert process.returncode == 0
    assert b"http://127.0.0.1:" in stdout
    if options:
        assert seen == b""
    else:
        assert b"waiting for " in seen
        assert b" s" in seen
