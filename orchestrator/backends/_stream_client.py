"""Runs an agent program that prints JSON lines; runs as a file with the standard library alone.

It runs beside the program in the sandbox and adds what some programs lack: it writes their
configuration into the HOME, joins the pieces of a message, ends a program that would wait for its
provider, and reports the end. It prints the program's other lines unchanged.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn


class StreamClient:
    """One program, and what was read of its output so far."""

    def __init__(self, job: dict[str, Any]) -> None:
        pipe = subprocess.PIPE
        self._program = subprocess.Popen(job["argv"], stdin=pipe, stdout=pipe, stderr=pipe)
        self._refused = re.compile(job["refused"].encode()) if job["refused"] else None
        self._pieces: list[str] = []
        self._printing = threading.Lock()
        signal.signal(signal.SIGTERM, lambda *_: self._program.terminate())

    def run(self, prompt: str) -> int:
        """Give the program its prompt, and return its exit code once its output ends."""
        errors = threading.Thread(target=self._read_errors)
        errors.start()
        assert self._program.stdin is not None  # noqa: S101 - it is a pipe
        assert self._program.stdout is not None  # noqa: S101 - it is a pipe
        try:
            self._program.stdin.write(prompt.encode())
            self._program.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and said why
        for line in self._program.stdout:
            if not self._is_piece(line):
                self._end_message()
                self._print(line)
        self._end_message()
        errors.join()
        ended = self._program.wait()
        # As a shell reports the end by a signal.
        code = ended if ended >= 0 else 128 - ended
        self._emit(type="end", code=code)
        return code

    def _is_piece(self, line: bytes) -> bool:
        """Keep a line that is a piece of a message; return whether it is one."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(event, dict) or event.get("type") != "message":
            return False
        content = event.get("content")
        if event.get("role") != "assistant" or not event.get("delta"):
            return False
        if isinstance(content, str):
            self._pieces.append(content)
        return True

    def _end_message(self) -> None:
        if text := "".join(self._pieces):
            self._emit(type="message", role="assistant", content=text)
        self._pieces.clear()

    def _read_errors(self) -> None:
        assert self._program.stderr is not None  # noqa: S101 - it is a pipe
        for line in self._program.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            if self._refused is None or not (found := self._refused.search(line)):
                continue
            self._refused = None
            message = found[1].decode(errors="replace")
            self._emit(type="error", error={"data": {"message": message}})
            self._program.terminate()

    def _emit(self, **event: object) -> None:
        self._print(json.dumps(event).encode() + b"\n")

    def _print(self, data: bytes) -> None:
        with self._printing:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def main() -> NoReturn:
    """Run the job of standard input."""
    job = json.load(sys.stdin)
    for path, content in job["files"].items():
        target = Path.home() / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    sys.exit(StreamClient(job).run(job["prompt"]))


if __name__ == "__main__":
    main()
