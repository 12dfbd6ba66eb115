"""What a Pipfile requires, and the versions in its lock file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

from orchestrator.environments.requirements import name_of, of_table, single_versions
from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import table_in

_SECTIONS = ("packages", "dev-packages")
_EXACT = re.compile(r"==\s*(\d[\w.!+-]*)")


def pipfile_requirements(files: BaseFiles, named: Collection[str]) -> Iterator[str]:
    """Yield the requirements of a Pipfile, without distributions that are `named` elsewhere."""
    for section in _SECTIONS:
        for name, value in table_in(files.document("Pipfile"), section).items():
            yield from (line for line in of_table(name, value) if name_of(line) not in named)


def pipenv_versions(files: BaseFiles) -> dict[str, str]:
    """Return the one version of each distribution that the lock file of pipenv names."""
    try:
        document = json.loads(files.text("Pipfile.lock") or "{}")
    except (ValueError, RecursionError):
        return {}
    return single_versions(
        (name, exact[1])
        for section in ("default", "develop")
        for name, entry in table_in(document, section).items()
        if (exact := _EXACT.fullmatch(str(table_in(entry).get("version", ""))))
    )
