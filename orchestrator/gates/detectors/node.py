"""Node: the scripts of package.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from orchestrator.ports import GateCommand


class Node:
    """Detects by package.json."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Node project."""
        try:
            package = json.loads(read("package.json") or b"{}")
        except ValueError:
            # Its own tools will say so; here it only means that nothing is known.
            return {}
        scripts = package.get("scripts") if isinstance(package, dict) else None
        if isinstance(scripts, dict) and isinstance(scripts.get("test"), str):
            return {"tests": GateCommand("npm test --silent")}
        return {}


def build(settings: object) -> Node:
    """Build the detector."""
    del settings
    return Node()
