"""A home and ports for `orch up`, and systems that it has started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import free_port
from tests.integration.up.stand_in import PATIENCE_S

ROOT = Path(__file__).parents[3]

#: Notes its start and what Valkey said then, and the same on SIGTERM.
KEEPER = """
import os, pathlib, signal, socket, sys
home, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def note(what):
    with socket.create_connection(("127.0.0.1", port)) as valkey:
        valkey.sendall(b"PING\\r\\n")
        with (home / "notes").open("a") as notes:
            print(what, os.getpid(), valkey.recv(5).decode(), file=notes)
def end(*_):
    note("ended")
    sys.exit()
signal.signal(signal.SIGTERM, end)
note("started" + ("" if (home / "valkey-was-ready").exists() else " too early"))
while True:
    signal.pause()
"""


@dataclass(frozen=True)
class Machine:
    """A home and ports of its own, and an `orch` to use them."""

    home: Path
    api_port: int
    valkey_port: int
    keeper: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_PORT": str(self.api_port),
            "VALKEY_PORT": str(self.valkey_port),
            "KEEPER": str(self.keeper),
        }

    def popen(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.integration.up.stand_in", *arguments],
            cwd=ROOT,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def orch(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        """Run to the end; returns exit code, standard output and error."""
        with self.popen(*arguments, **env) as ran:
            out, err = ran.communicate(timeout=PATIENCE_S * 3)
        return ran.returncode, out, err

    def notes(self) -> list[list[str]]:
        return [line.split() for line in (self.home / "notes").read_text().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Every process of this home's tree, by its environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                env = process.environ()
                if env.get("ORCHESTRATOR_HOME") == str(self.home) and "ORCH_RUN_ID" in env:
                    found.append(process)
        return found

    def is_free(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    keeper = tmp_path / "keeper.py"
    keeper.write_text(KEEPER)
    made = Machine(tmp_path / "home", free_port(), free_port(), keeper)
    yield made
    for process in made.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def detached(machine) -> dict[str, Any]:
    """What `orch up --detach --json` printed."""
    code, out, err = machine.orch("up", "--detach", "--json")
    assert (code, err) == (0, "")
    reported: dict[str, Any] = json.loads(out)
    return reported


@pytest.fixture
def foreground(machine) -> Iterator[subprocess.Popen[str]]:
    """An `orch up` that waits, everything ready."""
    with machine.popen("up") as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(3)]
        expected = f"API     http://127.0.0.1:{machine.api_port}\n"
        assert lines[0] == expected, lines[0] or running.communicate()[1]
        try:
            yield running
        finally:
            # Else a test that failed would wait for it for ever.
            running.kill()
