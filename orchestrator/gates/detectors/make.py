"""Make: the targets with the names of gates."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from orchestrator.gates.command_files import MAKEFILES, make_rules, recipe_of
from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with, mentioned_report
from orchestrator.interfaces.gate import GateCommand

_TARGETS = {
    "typecheck": ("typecheck", "type-check"),
    "lint": ("lint",),
    "tests": ("test", "tests"),
    "build": ("build",),
    "integration": ("integration", "test-integration"),
}
#: GNU's name for the tests; elsewhere it is the name for linters.
_GNU_TESTS = "check"
_OF_C = re.compile(r"\.(?:c|cc|cpp|cxx)$")
_IN_FOLDER = re.compile(r"(?:-C|\bcd)\s+[\"']?(?:\./)?([\w][\w./-]*?)/?[\"']?(?=\s|;|&|$)")


class Make:
    """Detects by Makefile."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders that contain a Makefile."""
        return folders_with(set(MAKEFILES), paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a project with a Makefile."""
        source = next((path for path in MAKEFILES if path in files.paths), "")
        rules, _ = make_rules(files.read)
        targets = {
            gate: next((name for name in names if name in rules), "")
            for gate, names in _TARGETS.items()
        }
        if not targets["tests"] and _GNU_TESTS in rules and any(map(_OF_C.search, files.paths)):
            targets["tests"] = _GNU_TESTS
        recipes = {gate: recipe_of(name, rules) for gate, name in targets.items() if name}
        found = {
            gate: GateCommand(f"make {targets[gate]}", script="\n".join(lines), source=source)
            for gate, lines in recipes.items()
        }
        # Without the name of a report the coverage cannot be read.
        if report := mentioned_report("\n".join(recipe_of("coverage", rules))):
            found["coverage"] = GateCommand("make coverage", report=report, source=source)
        called = _IN_FOLDER.findall("\n".join(recipes.get("tests", ())))
        return Detected(found, members=frozenset(called), has_tests="tests" in found)


def build(settings: object) -> Make:
    """Build the detector."""
    del settings
    return Make()
