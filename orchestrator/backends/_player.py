"""Executes the steps of one scripted agent; runs as a file with the standard library alone.

It starts in a fraction of the time that the import of YAML and pydantic takes, so that a load test
can start hundreds. `scripted.py` has checked the steps; `_script.py` describes them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CHUNK = 1024 * 1024
_POLL_S = 0.02


class Player:
    """The run of one agent; each step is the method of its name."""

    def __init__(self, session: str, fill: dict[str, str]) -> None:
        self._session = session
        self._fill = fill
        self._messages = 0
        self.summary = ""

    def emit(self, kind: str, **values: object) -> None:
        """Write one line of the protocol to standard output."""
        self._write(json.dumps({"type": kind, **values}).encode() + b"\n")

    def say(self, text: str) -> None:
        """Print a message."""
        self.summary = self._filled(text)
        self.emit("message", text=self.summary)

    def write(self, file: dict[str, str], mode: str = "w") -> None:
        """Write a file and the folders that contain it."""
        path = Path(self._filled(file["path"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as target:
            target.write(self._filled(file["content"]))
        self.emit("tool", name="write", detail=str(path))

    def append(self, file: dict[str, str]) -> None:
        """Append to a file."""
        self.write(file, "a")

    def delete(self, path: str) -> None:
        """Delete a file or a tree."""
        from shutil import rmtree  # noqa: PLC0415 - slow to import, and seldom needed

        # Resolved, because `.` itself cannot be removed.
        doomed = Path(self._filled(path)).resolve()
        if doomed.is_dir():
            rmtree(doomed)
        else:
            doomed.unlink()
        self.emit("tool", name="delete", detail=path)

    def run(self, command: str) -> None:
        """Run a command, whose output goes to this process's standard error."""
        self.emit("tool", name="run", detail=command)
        shell = ["sh", "-c", command]
        output = [(os.POSIX_SPAWN_DUP2, 2, 1)]
        pid = os.posix_spawnp("sh", shell, os.environ, file_actions=output)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            # A shell reports a command that a signal ended by the same exit code.
            sys.exit(128 - code if code < 0 else code)

    def tool(self, use: dict[str, str]) -> None:
        """Report the use of a tool."""
        self.emit("tool", **use)

    def tokens(self, spent: dict[str, Any]) -> None:
        """Report spent tokens."""
        self._messages += 1
        self.emit("tokens", **{"id": f"{self._session}-{self._messages}", **spent})

    def sleep(self, seconds: float) -> None:
        """Sleep for a number of seconds."""
        time.sleep(seconds)

    def wait_for(self, path: str) -> None:
        """Wait until a file exists."""
        awaited = Path(self._filled(path))
        while not awaited.exists():
            time.sleep(_POLL_S)

    def print(self, what: dict[str, Any]) -> None:
        """Print any number of bytes unchanged."""
        unit: bytes = what["text"].encode("latin-1")
        left: int = what["repeat"]
        many = max(1, _CHUNK // max(1, len(unit)))
        while left:
            now = min(left, many)
            self._write(unit * now)
            left -= now

    def daemon(self, seconds: float) -> None:
        """Start a daemon that only a search of the process table can find."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 256)
        os.execve("/bin/sleep", ["sleep", str(seconds)], {})  # noqa: S606 - the point of it

    def fail(self, code: int) -> None:
        """End without a result."""
        sys.exit(code)

    def limited(self, seconds: float) -> None:
        """End as a program does whose provider is at its limit for some seconds."""
        self.emit("limit", resets_at=time.time() + seconds)
        self.emit("refused", summary="the script says that the provider is at its limit")
        sys.exit(1)

    def signal(self, number: int) -> None:
        """Send a signal to this process."""
        os.kill(os.getpid(), number)

    def hang(self, _: object) -> None:
        """Sleep for ever."""
        while True:
            time.sleep(3600)

    def _filled(self, text: str) -> str:
        for name, value in self._fill.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text

    def _write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def main() -> None:
    """Execute the steps from standard input."""
    play = json.load(sys.stdin)
    if fault := play.get("fault"):
        sys.stderr.write(f"the script cannot be executed: {fault}\n")
        sys.exit(2)
    player = Player(play["session"], play["fill"])
    player.emit("session", id=play["session"])
    for step in play["steps"]:
        [(name, value)] = step.items()
        action: Callable[[Any], None] = getattr(player, name)
        action(value)
    player.emit("result", summary=player.summary)


if __name__ == "__main__":
    main()
