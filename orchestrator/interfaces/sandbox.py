"""The Protocol of a sandbox, and the values that its methods exchange."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

#: The loopback port of the egress proxy inside a sandbox without a network.
EGRESS_PORT = 8118


@dataclass(frozen=True)
class Overlay:
    """A folder of a workspace that shows another one, and stores what programs change apart."""

    #: The folder, below `root` of the program; nothing is shown if it is gone or a link.
    target: Path
    #: The folder that it shows; no program can change it.
    lower: Path
    #: The folder of the changes, out of reach of programs: `upper`, and `work` for the kernel.
    layer: Path


@dataclass(frozen=True)
class SandboxImage:
    """An image that a repository names, as it was when its run began."""

    name: str
    #: The id of its content; its programs are started by it, whatever the name means meanwhile.
    digest: str
    #: The variables that it gives to its programs, without PATH.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The folders for which an engine would make writable volumes.
    volumes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return its identity, for keys."""
        return f"{self.name} {self.digest}"


@dataclass(frozen=True)
class ProcessSpec:
    """The specification of one program for a sandbox; `env` is its whole environment."""

    agent_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes = b""
    attempt: int = 0
    #: The folder that the program may write to, which contains `cwd`; None for `cwd` alone.
    root: Path | None = None
    #: Further paths that the program may read, such as the objects of a mirror.
    readable: tuple[Path, ...] = ()
    #: The folders that come first on PATH, whatever PATH is in this sandbox.
    path: tuple[str, ...] = ()
    #: Whether the program has the network of the host; some sandboxes never give one.
    has_network: bool = True
    #: The unix socket of an egress proxy; programs reach it at 127.0.0.1:EGRESS_PORT.
    egress: Path | None = None
    #: Only for a sandbox that offers them for the folder of their layers.
    overlays: tuple[Overlay, ...] = ()
    #: The image of the repository; None for the operator's. Only for a sandbox that finds images.
    image: SandboxImage | None = None


@dataclass(frozen=True)
class Chunk:
    """A piece of output; `source` is `stdout` or `stderr`."""

    source: str
    data: bytes


class SandboxProcess(Protocol):
    """A running program and its process tree."""

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; return the output, if any."""

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""

    @property
    def limit_hit(self) -> str | None:
        """The limit of the sandbox that ended the program, with its value, or None."""

    def cpu_s(self) -> float:
        """Return the processor time in seconds of the live processes of the tree."""

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM)."""

    def kill(self) -> None:
        """Kill the whole tree; return when no process of it is left."""


class Sandbox(Protocol):
    """One kind of sandbox for programs; its module exports `build(settings) -> Sandbox`."""

    @property
    def level(self) -> str:
        """The level of confinement in one word, as in the agent's state."""
        ...

    def image(self) -> str:
        """Return the image with the programs, and its digest; empty if they are this host's.

        Raises:
            BackendUnavailable: there is no such image.
            SandboxUnavailable: the sandbox cannot be asked at present.
        """
        ...

    def find_image(self, name: str) -> SandboxImage:
        """Return an image that a repository names.

        Raises:
            BackendUnavailable: there is no such image, or this host cannot run its programs.
            SandboxUnavailable: the sandbox cannot be asked at present.
        """
        ...

    def offers_overlays(self, folder: Path) -> bool:
        """Return whether programs can get overlays whose layers are in a folder."""
        ...

    def check(self) -> str:
        """Return one line that describes the confinement on this host, for `orch doctor`.

        Raises:
            BackendUnavailable: no program can be started in this sandbox.
        """
        ...

    def start(self, spec: ProcessSpec) -> AbstractContextManager[SandboxProcess]:
        """Start a program; the exit of the context kills the rest of its process tree.

        Raises:
            BackendUnavailable: the program does not exist or may not be run.
            SandboxUnavailable: the sandbox cannot be made at present.
            WorkspaceLost: `cwd` does not exist.
        """
        ...
