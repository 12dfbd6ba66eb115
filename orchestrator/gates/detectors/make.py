"""Make: targets named like gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator.gates.command_files import MAKEFILES
from orchestrator.gates.detectors import mentioned_report, script_of
from orchestrator.interfaces.gate import GateCommand

#: The targets, then what they need and the recipe.
_RULE = re.compile(r"^([\w-][\w .-]*?)[ \t]*::?(?![:=])(.*(?:\n\t.*|\n(?=\n))*)", re.MULTILINE)
_TARGETS = {
    "typecheck": ("typecheck", "type-check"),
    "lint": ("lint",),
    "tests": ("test", "tests"),
    "build": ("build",),
    "integration": ("integration", "test-integration"),
}


class Make:
    """Detects by Makefile."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a project with a Makefile."""
        files = (content for path in MAKEFILES if (content := read(path)) is not None)
        text = next(files, b"").decode(errors="replace")
        rules: dict[str, str] = {}
        for names, rule in _RULE.findall(text):
            for target in names.split():
                rules[target] = rules.get(target, "") + rule
        found = {
            gate: GateCommand(f"make {target}", script=script_of(target, rules))
            for gate, targets in _TARGETS.items()
            for target in targets[::-1]
            if target in rules
        }
        # Where no report is named there is nothing to read the coverage from.
        if "coverage" in rules and (report := mentioned_report(text)):
            found["coverage"] = GateCommand("make coverage", report=report)
        return found


def build(settings: object) -> Make:
    """Build the detector."""
    del settings
    return Make()
