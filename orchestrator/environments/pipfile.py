"""What a Pipfile requires, and the versions in its lock file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestrator.environments.requirements import name_of, normal, of_table
from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import read_toml

_SECTIONS = ("packages", "dev-packages")
_EXACT = re.compile(r"==\s*(\d[\w.!+-]*)")


def pipfile_requirements(files: BaseFiles, named: Collection[str]) -> Iterator[str]:
    """Yield the requirements of a Pipfile, without distributions that are `named` elsewhere."""
    for section in _SECTIONS:
        for name, value in _table(read_pipfile(files).get(section)).items():
            yield from (line for line in of_table(name, value) if name_of(line) not in named)


def read_pipfile(files: BaseFiles) -> Mapping[str, Any]:
    """Return the tables of a Pipfile; none if it cannot be read."""
    try:
        return read_toml(files.text("Pipfile"))
    except tomllib.TOMLDecodeError:
        return {}


def pipenv_versions(files: BaseFiles) -> dict[str, str]:
    """Return the one version of each distribution that the lock file of pipenv names."""
    try:
        document = json.loads(files.text("Pipfile.lock") or "{}")
    except (ValueError, RecursionError):
        return {}
    versions: dict[str, set[str]] = {}
    for section in ("default", "develop"):
        for name, entry in _table(_table(document).get(section)).items():
            exact = _EXACT.fullmatch(str(_table(entry).get("version", "")))
            if exact:
                versions.setdefault(normal(name), set()).add(exact[1])
    return {name: found.pop() for name, found in versions.items() if len(found) == 1}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
