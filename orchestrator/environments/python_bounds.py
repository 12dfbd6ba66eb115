"""The versions of Python that a project accepts, in the form of `requires-python`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.environments.setup_cfg import read_setup_cfg
from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import table_in

_CARET = re.compile(r"\^\s*(\d+)(\.\d+)*")
_TILDE = re.compile(r"~\s*(\d+)(?:\.(\d+))?(\.\d+)*")
_BARE = re.compile(r"\d+(?:\.\d+)*(?:\.\*)?")


def python_bounds(files: BaseFiles, pyproject: Mapping[str, Any]) -> str:
    """Return the bounds of the first file that has some; empty if none has."""
    return next(filter(None, _declared(files, pyproject)), "")


def _declared(files: BaseFiles, pyproject: Mapping[str, Any]) -> Iterator[str]:
    yield _text(table_in(pyproject, "project").get("requires-python"))
    wanted = table_in(pyproject, "tool", "poetry", "dependencies").get("python")
    yield _of_poetry(_text(wanted) or _text(table_in(wanted).get("version")))
    yield read_setup_cfg(files).get("options", {}).get("python_requires", "")
    yield _of_setup(files.text("setup.py"))
    exact = _text(table_in(files.document("Pipfile"), "requires").get("python_version"))
    yield f"=={exact}" if _BARE.fullmatch(exact) else ""


def _of_poetry(bounds: str) -> str:
    """Return bounds of poetry's own form as those of `requires-python`; empty for alternatives."""
    if "|" in bounds:
        return ""
    return ",".join(_plain(bound.strip()) for bound in bounds.split(",") if bound.strip() != "*")


def _plain(bound: str) -> str:
    if caret := _CARET.fullmatch(bound):
        return f">={bound[1:].strip()},<{int(caret[1]) + 1}"
    if tilde := _TILDE.fullmatch(bound):
        upper = f"{tilde[1]}.{int(tilde[2]) + 1}" if tilde[2] else str(int(tilde[1]) + 1)
        return f">={bound[1:].strip()},<{upper}"
    return f"=={bound}" if _BARE.fullmatch(bound) else bound


def _of_setup(text: str) -> str:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    values = (
        node.value.value
        for node in ast.walk(module)
        if isinstance(node, ast.keyword)
        and node.arg == "python_requires"
        and isinstance(node.value, ast.Constant)
    )
    return next(map(_text, values), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
