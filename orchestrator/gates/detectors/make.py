"""Make: targets named like gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_TARGET = re.compile(rb"^test\s*:(?!=)", re.MULTILINE)


class Make:
    """Detects by Makefile."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, str]:
        """Return the commands of a project with a Makefile."""
        return {"tests": "make test"} if _TARGET.search(read("Makefile") or b"") else {}


def build(settings: object) -> Make:
    """Build the detector."""
    del settings
    return Make()
