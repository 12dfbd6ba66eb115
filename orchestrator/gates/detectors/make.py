"""Make: targets named like gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator.ports import GateCommand

_TARGET = re.compile(rb"^test\s*:(?!=)", re.MULTILINE)


class Make:
    """Detects by Makefile."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a project with a Makefile."""
        return (
            {"tests": GateCommand("make test")} if _TARGET.search(read("Makefile") or b"") else {}
        )


def build(settings: object) -> Make:
    """Build the detector."""
    del settings
    return Make()
