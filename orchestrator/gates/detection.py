"""What a detector of one ecosystem is given of a base commit, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged


@dataclass(frozen=True)
class BaseFiles:
    """The files of one folder of the base commit, by their paths below it."""

    read: Callable[[str], bytes | None]
    paths: Collection[str]

    def text(self, path: str) -> str:
        """Return the text of a file; empty where there is none."""
        content = self.read(path) if path in self.paths else None
        return (content or b"").decode(errors="replace")

    def below(self, folder: str) -> BaseFiles:
        """Return the files of a folder below this one."""
        if not folder:
            return self
        top = f"{folder}/"
        paths = {path.removeprefix(top) for path in self.paths if path.startswith(top)}
        return BaseFiles(lambda path: self.read(top + path), paths)


@dataclass(frozen=True)
class Detected:
    """What a detector knows of one package."""

    #: Gate → how to run it.
    commands: Mapping[str, GateCommand] = field(default_factory=dict)
    #: What was found and is not judged; its paths are relative to the package's folder.
    not_judged: tuple[NotJudged, ...] = ()
    #: Folders below whose packages are a part of this one, and judged with it.
    members: frozenset[str] = frozenset()
    #: False: the package has nothing that the command of its tests would run.
    has_tests: bool = True


class Detector(Protocol):
    """Knows one ecosystem; one file, exporting `build(settings) -> Detector`."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders that hold a package of its kind; the root is the empty string."""
        ...

    def detect(self, files: BaseFiles) -> Detected:
        """Return what one package's files say of its gates; empty if it is not its kind."""
        ...
