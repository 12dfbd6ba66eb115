"""A Docker engine for tests: the one that answers, or a `dockerd` that lives as long as they do.

`python3 -m tests.engine COMMAND …` runs a command with one; it needs nothing but the standard
library, because it comes before everything else.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = Path("/var/run/docker.sock")
START_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def answers(path: Path = SOCKET) -> bool:
    """Return whether an engine answers at this socket."""
    connection = _Connection(path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().read() == b"OK"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def has_image(name: str, path: Path = SOCKET) -> bool:
    """Return whether the engine at this socket has an image."""
    connection = _Connection(path)
    try:
        connection.request("GET", f"/images/{name}/json")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def running(*options: str, path: Path = SOCKET) -> Iterator[subprocess.Popen[bytes]]:
    """Start a `dockerd` at this socket and stop it in the end; what it logs is told if it fails.

    Beside another one it needs its own --data-root, --exec-root and --pidfile, and --bridge=none.
    """
    program = shutil.which("dockerd")
    assert program, "there is no dockerd: install docker.io"
    with tempfile.TemporaryFile() as log:
        daemon = subprocess.Popen(
            [program, f"--host=unix://{path}", *options], stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + START_WITHIN_S
            while not answers(path):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.stderr.write(log.read().decode(errors="replace"))
                    msg = "dockerd did not start"
                    raise RuntimeError(msg)
                time.sleep(0.1)
            yield daemon
        finally:
            daemon.terminate()
            try:
                daemon.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def main(command: list[str]) -> int:
    """Run a command while an engine answers; returns its exit code."""
    if answers():
        return subprocess.run(command, check=False).returncode
    with running():
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
