"""The Protocol of a sandbox, and the values that cross it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Where a program without a network finds its egress proxy, on its own loopback.
EGRESS_PORT = 8118


@dataclass(frozen=True)
class ProcessSpec:
    """One program to run beside nothing of ours: `env` is all it sees of the environment."""

    agent_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes = b""
    attempt: int = 0
    #: The folder it may write in, which holds `cwd`; without it `cwd` alone.
    root: Path | None = None
    #: What it may read beside the system, at its own path: the objects its repository borrows.
    readable: tuple[Path, ...] = ()
    #: False: no network but `egress`. Some sandboxes never give one.
    has_network: bool = True
    #: The unix socket of an egress proxy, reached inside at 127.0.0.1:EGRESS_PORT.
    egress: Path | None = None


@dataclass(frozen=True)
class Chunk:
    """Some bytes of output; `source` is `stdout` or `stderr`."""

    source: str
    data: bytes


class SandboxProcess(Protocol):
    """A running program and everything it started."""

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; empty when there was neither."""

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""

    @property
    def limit_hit(self) -> str | None:
        """Once it has ended: which limit of its sandbox ended it, with its value, or None."""

    def cpu_s(self) -> float:
        """Return the processor time that its live processes have spent."""

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM)."""

    def kill(self) -> None:
        """End the whole tree at once; returns when nothing of it is left."""


class Sandbox(Protocol):
    """Where programs of agents and gates run; one file, exporting `build(settings) -> Sandbox`."""

    @property
    def level(self) -> str:
        """What confines the programs, in one word, as the agent's state shows it."""
        ...

    def check(self) -> str:
        """Return one line on what confines programs here, for `orch doctor`.

        Raises:
            BackendUnavailable: nothing can be started in it, and why.
        """
        ...

    def start(self, spec: ProcessSpec) -> AbstractContextManager[SandboxProcess]:
        """Start a program; leaving the context kills what is left of its tree.

        Raises:
            BackendUnavailable: the program does not exist or may not be run.
            SandboxUnavailable: what it would run in cannot be had for now.
            WorkspaceLost: `cwd` does not exist.
        """
        ...
