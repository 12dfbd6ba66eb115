"""How each ecosystem runs its checks: one file each, exporting `build(settings) -> Detector`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: These run what a file of the tree under judgement says; they are asked after all others.
_INDIRECT = ("node", "make")

_REPORT = re.compile(
    r"(?<![\w./-])(?:\./)?((?:\w[\w.-]*/)*"
    r"(?:coverage\.json|coverage\.xml|cobertura-coverage\.xml|cobertura\.xml|lcov\.info"
    r"|coverage\.lcov|coverage-summary\.json|cover(?:age)?\.out))(?![\w./-])"
)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return detectors' names in the order they are asked: the first that knows a gate wins.

    Detectors that name a tool come first, by name; then package.json's scripts, and Makefile
    targets last, because an agent can change what those two run.
    """
    return tuple(
        sorted(names, key=lambda name: (name in _INDIRECT and _INDIRECT.index(name) + 1, name))
    )


def script_of(name: str, scripts: Mapping[str, str]) -> str:
    """Return what a script runs: its text, and that of each script it names, however deep."""
    texts: dict[str, str] = {}
    names = [name]
    while names:
        name = names.pop()
        if name in scripts and name not in texts:
            texts[name] = scripts[name]
            names += texts[name].split()
    return "\n".join(texts.values())


def mentioned_report(text: str) -> str | None:
    """Return the first coverage report a script names, in a format that can be read."""
    match = _REPORT.search(text)
    return match[1] if match else None
