"""Autotools: the checks that Makefile.am names, run as for a release."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with
from orchestrator.interfaces.gate import GateCommand

_CONFIGURE = ("configure.ac", "configure.in")
_MAKEFILE = "Makefile.am"
_BUILD = "autoreconf -fi && ./configure && make"
_CHECKS = re.compile(r"^(?:TESTS|check_\w+|check-local)\b", re.MULTILINE)


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
        makefiles = (path for path in files.paths if path.rpartition("/")[2] == _MAKEFILE)
        has_tests = any(_CHECKS.search(files.text(path)) for path in makefiles)
        if has_tests:
            found["tests"] = GateCommand(f"{_BUILD} && make check", source=_MAKEFILE)
        return Detected(found, has_tests=has_tests)


def build(settings: object) -> Autotools:
    """Build the detector."""
    del settings
    return Autotools()
