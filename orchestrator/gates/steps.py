"""What commands run: files of the tree and tools, and what make and npm run for them. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

_STEPS = re.compile(r"&&|\|\||[;|\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_INTERPRETER = re.compile(r"python[\d.]*|(ba|da|z)?sh|node|ruby|perl|deno|bun")
_TOOL = re.compile(r"[a-zA-Z][\w-]*")
#: Tools that a plan often runs through another (make, npm, tox), and what they import.
TOOLS = frozenset({
    "unittest", "pytest", "coverage", "mypy", "ruff", "flake8", "pyright", "tox", "nox", "jest",
    "vitest", "mocha", "eslint", "tsc", "nyc", "c8", "_pytest", "pluggy", "iniconfig", "xdist",
    "pytest_cov", "mypyc", "mypy_extensions", "typing_extensions", "pycodestyle", "pyflakes",
})  # fmt: skip


class Steps:
    """What the plan's commands run: files of the tree, tools that may be shadowed."""

    def __init__(self, commands: Sequence[str]) -> None:
        steps = [_words(step) for command in commands for step in _STEPS.split(command)]
        # What a tool is pointed at is judged by it; what is run judges.
        self.files = frozenset(str(PurePosixPath(word)) for word in map(_run_by, steps) if word)
        words = {PurePosixPath(word).name for step in steps for word in step}
        self.tools = TOOLS | {word for word in words if _TOOL.fullmatch(word)}
        self.uses_make = "make" in words
        self.uses_scripts = bool(words & {"npm", "npx", "pnpm", "yarn"})


def _words(step: str) -> list[str]:
    try:
        return shlex.split(step)
    except ValueError:
        return step.split()


def _run_by(words: list[str]) -> str | None:
    program, *arguments = [word for word in words if not _ASSIGNMENT.match(word)] or [""]
    if _INTERPRETER.fullmatch(PurePosixPath(program).name):
        return next((word for word in arguments if not word.startswith("-")), None)
    return program or None
