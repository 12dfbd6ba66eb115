"""The fleet tool cli-agent-orchestrator: from its request for a session to a running program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError

from tests.bench.results import Figure, figure
from tests.conftest import free_port

NAME = "cli-agent-orchestrator"
#: The program of its own provider for tests: it shows a prompt, as a real agent program does.
_PROGRAM = """#!/bin/sh
date +%s.%N >> "$HOME/started"
printf '❯ '
while read -r line; do printf '> MOCK: %s\\n❯ ' "$line"; done
"""
_START_WITHIN_S = 60.0
_SESSION_WITHIN_S = 40.0


def measure(folder: Path, build: Path, sessions: int) -> tuple[list[Figure], list[str]]:
    """Start sessions one after the other; returns the figures, or a note why there are none."""
    if shutil.which("tmux") is None:
        return [], [f"{NAME} was not measured: tmux is not installed."]
    home = folder / "fleet-tool"
    (home / "bin").mkdir(parents=True)
    program = home / "bin/mock_cli"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    # tmux starts login shells, and the profile of the system sets PATH anew.
    (home / ".profile").write_text(f'PATH="{home / "bin"}:$PATH"\n')
    port = free_port()
    env = {
        "PATH": f"{home / 'bin'}:{build / 'venv/bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "CAO_HOME_DIR": str(home / "state"),
        "CAO_API_PORT": str(port),
        # A tmux server of its own, which ends with the last session.
        "TMUX_TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(["cao-server"], env=env, stdout=log, stderr=log, cwd=home)
        try:
            answered, running = _start_sessions(port, home, sessions)
        except (OSError, TimeoutError) as error:
            return [], [f"{NAME} was installed but could not be driven: {error}"[:200]]
        finally:
            server.terminate()
            subprocess.run(["tmux", "kill-server"], env=env, check=False, capture_output=True)
            server.wait(20)
    return [
        figure(f"session answered, {NAME}", "ms", *answered),
        figure(f"request to program running, {NAME}", "ms", *running),
    ], []


def _start_sessions(
    port: int, home: Path, sessions: int
) -> tuple[Sequence[float], Sequence[float]]:
    answered, running = [], []
    _await_health(port)
    started = home / "started"
    for number in range(sessions):
        query = f"provider=mock_cli&agent_profile=developer&session_name=bench-{number}"
        url = f"http://127.0.0.1:{port}/sessions?{query}&working_directory={home}"
        began_s = time.time()
        request = urllib.request.Request(url, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_SESSION_WITHIN_S) as answer:
                json.load(answer)
        except HTTPError as error:
            msg = f"{error.code}: {error.read().decode()}"
            raise OSError(msg) from error
        answered.append((time.time() - began_s) * 1000)
        deadline = time.monotonic() + _SESSION_WITHIN_S
        while not (started.exists() and len(lines := started.read_text().split()) > number):
            if time.monotonic() > deadline:
                msg = "its program did not start"
                raise TimeoutError(msg)
            time.sleep(0.01)
        running.append((float(lines[number]) - began_s) * 1000)
    return answered, running


def _await_health(port: int) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
