"""docs/configuration.md is the settings: every variable, its default and its meaning.

`python -m tests.unit.test_configuration` writes the page anew.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from orchestrator.settings import Settings, variables
from orchestrator.settings.access import AccessSettings
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.budget import BudgetSettings
from orchestrator.settings.gates import GateSettings
from orchestrator.settings.git import GitSettings
from orchestrator.settings.record import BACKEND_PREFIX
from orchestrator.settings.reliability import ReliabilitySettings
from orchestrator.settings.sandbox import SandboxSettings
from orchestrator.settings.valkey import ValkeySettings
from orchestrator.wiring import BACKENDS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
GROUPS: dict[str, type[BaseSettings]] = {
    "This host": Settings,
    "Access": AccessSettings,
    "Valkey": ValkeySettings,
    "Agents and models": AgentSettings,
    "Sandbox": SandboxSettings,
    "Budget": BudgetSettings,
    "Git and delivery": GitSettings,
    "Gates": GateSettings,
    "Reliability": ReliabilitySettings,
}
_DURATIONS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_TOKENS = {"M": 10**6, "k": 10**3}


def in_units(value: float, units: dict[str, int]) -> str:
    """Write a number in the largest unit that leaves it whole."""
    unit = next((unit for unit, size in units.items() if value and value % size == 0), "")
    return f"{value / units.get(unit, 1):g}{unit}"


def default(name: str, field: FieldInfo) -> str:
    """Write a default as one would write it in the environment."""
    value: Any = field.default
    if name == "home":
        return "`~/.local/state/mosaic-orchestrator`"
    if field.default_factory is not None or value in (None, ()):
        return "–"
    if isinstance(value, bool):
        value = str(value).lower()
    elif name.endswith("_s"):
        value = in_units(value, _DURATIONS)
    elif name.endswith("_tokens"):
        value = in_units(value, _TOKENS)
    elif isinstance(value, ByteSize):
        value = in_units(value, _SIZES)
    return f"`{value}`"


def table(rows: Iterator[tuple[str, str, str]]) -> str:
    """Write rows of variable, default and meaning."""
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"| variable | default | meaning |\n|---|---|---|\n{lines}"


def settings_of(group: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    for name in group.__annotations__:
        field = Settings.model_fields.get(name)
        if field is not None and field.validation_alias:
            variable = f"`{field.validation_alias}`"
            if "SecretStr" in str(field.annotation):
                variable += ", `…_FILE`"
            yield variable, default(name, field), field.description or ""


def options_of(backend: str) -> Iterator[tuple[str, str, str]]:
    options: type[BaseModel] = importlib.import_module(f"orchestrator.backends.{backend}").Options
    for name, field in options.model_fields.items():
        variable = f"{BACKEND_PREFIX}{backend}__{name}".upper()
        yield f"`{variable}`", default(name, field), field.description or ""


def sections() -> str:
    """Write the part of the page that the settings say."""
    parts = []
    for title, group in GROUPS.items():
        words = "" if group is Settings else f"{group.__doc__}\n\n"
        parts.append(f"## {title}\n\n{words}{table(settings_of(group))}")
    rows = (row for backend in BACKENDS.names() for row in options_of(backend))
    parts.append(f"## Options of each backend\n\n{table(rows)}")
    return "\n".join(parts)


def written() -> str:
    """Return the page as it has to be."""
    block = f"<!-- settings -->\n{sections()}<!-- /settings -->"
    return re.sub(
        "<!-- settings -->.*<!-- /settings -->",
        lambda _: block,
        PAGE.read_text("utf-8"),
        flags=re.DOTALL,
    )


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == written(), "python -m tests.unit.test_configuration"


def test_every_variable_is_on_it_once_and_says_what_it_is():
    rows = [row for group in GROUPS.values() for row in settings_of(group)]
    named = [re.findall(r"`([A-Z_]+)`", variable)[0] for variable, _, _ in rows]
    assert sorted(named) == sorted(variables())
    for variable, _, meaning in rows:
        assert re.fullmatch(r"[^|]{10,}\.", meaning), variable


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
