"""Plays the steps of one scripted agent; run as a file with the standard library alone.

It starts in a fraction of the time that reading YAML and pydantic would take, so that hundreds can
be started for a load test. `scripted.py` has checked the steps and says what each does.
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
    """One agent's play; each step is the method of its name."""

    def __init__(self, session: str, fill: dict[str, str]) -> None:
        self._session = session
        self._fill = fill
        self._messages = 0
        self.summary = ""

    def emit(self, kind: str, **values: object) -> None:
        """Write one line of the protocol."""
        self._write(json.dumps({"type": kind, **values}).encode() + b"\n")

    def say(self, text: str) -> None:
        """Say something."""
        self.summary = self._filled(text)
        self.emit("message", text=self.summary)

    def write(self, file: dict[str, str], mode: str = "w") -> None:
        """Write a file, and the folders it stands in."""
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
        """Run a command, its output on our standard error."""
        self.emit("tool", name="run", detail=command)
        shell = ["sh", "-c", command]
        output = [(os.POSIX_SPAWN_DUP2, 2, 1)]
        pid = os.posix_spawnp("sh", shell, os.environ, file_actions=output)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            # As a shell tells of a command that was ended by a signal.
            sys.exit(128 - code if code < 0 else code)

    def tool(self, use: dict[str, str]) -> None:
        """Claim to have used a tool."""
        self.emit("tool", **use)

    def tokens(self, spent: dict[str, Any]) -> None:
        """Claim to have spent tokens."""
        self._messages += 1
        self.emit("tokens", **{"id": f"{self._session}-{self._messages}", **spent})

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def wait_for(self, path: str) -> None:
        """Wait until a file exists."""
        awaited = Path(self._filled(path))
        while not awaited.exists():
            time.sleep(_POLL_S)

    def print(self, what: dict[str, Any]) -> None:
        """Print bytes, however many, as they are."""
        unit: bytes = what["text"].encode("latin-1")
        left: int = what["repeat"]
        many = max(1, _CHUNK // max(1, len(unit)))
        while left:
            now = min(left, many)
            self._write(unit * now)
            left -= now

    def daemon(self, seconds: float) -> None:
        """Leave a process that only a look at the process table can find."""
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

    def signal(self, number: int) -> None:
        """Send a signal to ourselves."""
        os.kill(os.getpid(), number)

    def hang(self, _: object) -> None:
        """Never come back."""
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
    """Play what stands on standard input."""
    play = json.load(sys.stdin)
    if fault := play.get("fault"):
        sys.stderr.write(f"the script cannot be played: {fault}\n")
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
