"""The input of a detector for one ecosystem, from a base commit, and its result."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged
from orchestrator.repo_config.toml import read_toml


@dataclass(frozen=True)
class BaseFiles:
    """The files of one folder of the base commit, by their paths below it."""

    read: Callable[[str], bytes | None]
    paths: Collection[str]
    #: All files of the base commit, and the path of this folder; None if this is the root.
    outer: tuple[BaseFiles, str] | None = None

    def text(self, path: str) -> str:
        """Return the text of a file; empty if it does not exist."""
        content = self.read(path) if path in self.paths else None
        return (content or b"").decode(errors="replace")

    def document(self, path: str) -> dict[str, Any]:
        """Return the tables of a TOML file; none if it is malformed, which its own tool reports."""
        try:
            return read_toml(self.text(path))
        except tomllib.TOMLDecodeError:
            return {}

    def below(self, folder: str) -> BaseFiles:
        """Return the files below a folder of this one."""
        if not folder:
            return self
        top = f"{folder}/"
        paths = {path.removeprefix(top) for path in self.paths if path.startswith(top)}
        root, own = self.outer or (self, "")
        at = f"{own}/{folder}".removeprefix("/")
        return BaseFiles(lambda path: self.read(top + path), paths, (root, at))


@dataclass(frozen=True)
class Detected:
    """The result of a detector for one package."""

    #: The command of each gate.
    commands: Mapping[str, GateCommand] = field(default_factory=dict)
    #: The parts that no gate checks; their paths are relative to the package's folder.
    not_judged: tuple[NotJudged, ...] = ()
    #: Folders below whose packages are part of this one, and are checked with it.
    members: frozenset[str] = frozenset()
    #: Folders below of packages of their own, which are found at any depth.
    listed: frozenset[str] = frozenset()
    #: False if the package has nothing that the command of its tests would run.
    has_tests: bool = True


class Detector(Protocol):
    """Detects one ecosystem; one file, exporting `build(settings) -> Detector`."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders that contain a package of its kind; the root is the empty string."""
        ...

    def detect(self, files: BaseFiles) -> Detected:
        """Return the gates of one package; empty if it is not of the detector's kind."""
        ...
