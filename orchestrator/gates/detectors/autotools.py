"""Autotools, and a configure script of the repository's own: the checks, run as for a release."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with
from orchestrator.interfaces.gate import GateCommand

_CONFIGURE = ("configure.ac", "configure.in")
_MAKEFILE = "Makefile.am"
_BUILD = "autoreconf -fi && ./configure && make"
#: A script that no tool has generated, or whose sources are not in the repository.
_OWN_CONFIGURE, _OWN_MAKEFILE = "configure", "Makefile.in"
_OWN_BUILD = "./configure && make"
#: The targets of its Makefile that run the tests; the first that exists is used.
_OWN_TARGETS = ("check", "test", "tests")
# Inside a condition of automake a line may be indented; a recipe begins with a tab.
_CHECKS = re.compile(r"^ *(?:TESTS|check_\w+|check-local)\b(?=[ \t]*(?:\+?=|:))", re.MULTILINE)
_INCLUDE = re.compile(r"^ *include[ \t]+(?:\$\(\w+\)/)?([\w./+-]+)[ \t]*(?:#.*)?$", re.MULTILINE)
#: The number of files that are read; it bounds the work.
_MOST_FILES = 300


class Autotools:
    """Detects by Makefile.am beside configure.ac, or by Makefile.in beside configure alone."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders that contain the sources of configure."""
        own = folders_with({_OWN_CONFIGURE}, paths) & folders_with({_OWN_MAKEFILE}, paths)
        return folders_with(set(_CONFIGURE), paths) | own

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a project of autoconf and automake, or of its own script."""
        if not any(path in files.paths for path in _CONFIGURE):
            return _by_own_script(files)
        if _MAKEFILE not in files.paths:
            return Detected()
        found = {"build": GateCommand(_BUILD, source=_MAKEFILE)}
        has_tests = _has_tests(files)
        if has_tests:
            found["tests"] = GateCommand(f"{_BUILD} && make check", source=_MAKEFILE)
        return Detected(found, has_tests=has_tests)


def _by_own_script(files: BaseFiles) -> Detected:
    if not {_OWN_CONFIGURE, _OWN_MAKEFILE} <= set(files.paths):
        return Detected()
    found = {"build": GateCommand(_OWN_BUILD, source=_OWN_CONFIGURE)}
    text = files.text(_OWN_MAKEFILE)
    targets = (
        name for name in _OWN_TARGETS if re.search(rf"^{name}[ \t]*:(?!=)", text, re.MULTILINE)
    )
    if target := next(targets, ""):
        found["tests"] = GateCommand(f"{_OWN_BUILD} && make {target}", source=_OWN_MAKEFILE)
    return Detected(found, has_tests=bool(target))


def _has_tests(files: BaseFiles) -> bool:
    """Return whether a Makefile.am names tests, or a file that one includes.

    If they are too many to read, the tests run.
    """
    todo = sorted(path for path in files.paths if path.rpartition("/")[2] == _MAKEFILE)
    seen = set[str]()
    while todo:
        path = todo.pop(0)
        if path in seen:
            continue
        seen.add(path)
        text = files.text(path)
        if len(seen) > _MOST_FILES or _CHECKS.search(text):
            return True
        folder = path.rpartition("/")[0]
        for name in _INCLUDE.findall(text):
            todo += [at for at in (f"{folder}/{name}".strip("/"), name) if at in files.paths]
    return False


def build(settings: object) -> Autotools:
    """Build the detector."""
    del settings
    return Autotools()
