"""Autotools: the checks that Makefile.am names, run as for a release."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with
from orchestrator.interfaces.gate import GateCommand

_CONFIGURE = ("configure.ac", "configure.in")
_MAKEFILE = "Makefile.am"
_BUILD = "autoreconf -fi && ./configure && make"
# Inside a condition of automake a line may be indented; a recipe begins with a tab.
_CHECKS = re.compile(r"^ *(?:TESTS|check_\w+|check-local)\b(?=[ \t]*(?:\+?=|:))", re.MULTILINE)
_INCLUDE = re.compile(r"^ *include[ \t]+(?:\$\(\w+\)/)?([\w./+-]+)[ \t]*(?:#.*)?$", re.MULTILINE)
#: The number of files that are read; it bounds the work.
_MOST_FILES = 300


class Autotools:
    """Detects by Makefile.am beside configure.ac."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders that contain the sources of configure."""
        return folders_with(set(_CONFIGURE), paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a project of autoconf and automake."""
        if _MAKEFILE not in files.paths or not any(path in files.paths for path in _CONFIGURE):
            return Detected()
        found = {"build": GateCommand(_BUILD, source=_MAKEFILE)}
        has_tests = any(_CHECKS.search(text) for text in _texts(files))
        if has_tests:
            found["tests"] = GateCommand(f"{_BUILD} && make check", source=_MAKEFILE)
        return Detected(found, has_tests=has_tests)


def _texts(files: BaseFiles) -> Iterator[str]:
    """Yield every Makefile.am, and the files that one includes."""
    todo = sorted(path for path in files.paths if path.rpartition("/")[2] == _MAKEFILE)
    seen = set[str]()
    while todo and len(seen) < _MOST_FILES:
        path = todo.pop(0)
        if path in seen:
            continue
        seen.add(path)
        text = files.text(path)
        yield text
        folder = path.rpartition("/")[0]
        for name in _INCLUDE.findall(text):
            todo += [at for at in (f"{folder}/{name}".strip("/"), name) if at in files.paths]


def build(settings: object) -> Autotools:
    """Build the detector."""
    del settings
    return Autotools()
