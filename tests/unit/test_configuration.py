"""The pages of all settings, and deploy/example.env, are written from the settings.

`python -m tests.unit.test_configuration` writes them.
"""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

from orchestrator.settings import Settings, load_settings, variables
from orchestrator.settings.access import AccessSettings
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.budget import BudgetSettings
from orchestrator.settings.environments import EnvironmentSettings
from orchestrator.settings.gates import GateSettings
from orchestrator.settings.git import GitSettings
from orchestrator.settings.record import BACKEND_PREFIX
from orchestrator.settings.reliability import ReliabilitySettings
from orchestrator.settings.sandbox import SandboxSettings
from orchestrator.settings.valkey import ValkeySettings
from orchestrator.settings.values import SettingsGroup
from orchestrator.wiring import BACKENDS

ROOT = Path(__file__).parents[2]
#: Each page, and the title of the first group that it lists.
PAGES = {
    ROOT / "docs" / "configuration.md": "This host",
    ROOT / "docs" / "configuration-work.md": "Git and delivery",
}
EXAMPLE = ROOT / "deploy" / "example.env"
GROUPS: dict[str, type[SettingsGroup]] = {
    "This host": Settings,
    "Access": AccessSettings,
    "Valkey": ValkeySettings,
    "Agents and models": AgentSettings,
    "Sandbox": SandboxSettings,
    "Budget": BudgetSettings,
    "Git and delivery": GitSettings,
    "Gates": GateSettings,
    "Environments of repositories": EnvironmentSettings,
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
        return "~/.local/state/mosaic-orchestrator"
    if field.default_factory is not None or value in (None, ()):
        return ""
    if isinstance(value, bool):
        value = str(value).lower()
    elif name.endswith("_s"):
        value = in_units(value, _DURATIONS)
    elif name.endswith("_tokens"):
        value = in_units(value, _TOKENS)
    elif isinstance(value, ByteSize):
        value = in_units(value, _SIZES)
    return str(value)


def entry(variable: str, field: FieldInfo, name: str) -> str:
    """Write one setting as an entry of a list."""
    kind = "secret" if is_secret(field) else ""
    if (value := default(name, field)) and not kind:
        kind = f"default `{value}`"
    line = f"- `{variable}`{f' ({kind})' if kind else ''}: {field.description}"
    return "\n".join(wrapped(line, indent="  ")) + "\n"


def wrapped(text: str, *, prefix: str = "", indent: str = "") -> list[str]:
    """Wrap text at 100 characters; a variable or a value is never broken."""
    return textwrap.wrap(
        text, 100, initial_indent=prefix, subsequent_indent=prefix + indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def settings_of(group: type[SettingsGroup]) -> Iterator[tuple[str, FieldInfo, str]]:
    """Return the variable, the field and the name of each setting of a group."""
    for name in group.__annotations__:
        field = Settings.model_fields.get(name)
        if field is not None and field.validation_alias:
            yield str(field.validation_alias), field, name


def options_of(backend: str) -> Iterator[tuple[str, FieldInfo, str]]:
    """Return the same for the options of a backend."""
    options: type[BaseModel] = importlib.import_module(f"orchestrator.backends.{backend}").Options
    for name, field in options.model_fields.items():
        yield f"{BACKEND_PREFIX}{backend}__{name}".upper(), field, name


def groups() -> Iterator[tuple[str, str, list[tuple[str, FieldInfo, str]]]]:
    """Return the title, the introduction and the settings of each group."""
    for title, group in GROUPS.items():
        words = "" if group is Settings else group.__doc__ or ""
        yield title, words, list(settings_of(group))
    options = [option for backend in BACKENDS.names() for option in options_of(backend)]
    yield "Options of each backend", "", options


def sections(page: Path) -> str:
    """Write the part of a page that is generated."""
    parts = []
    listed = None
    first = {title: at for at, title in PAGES.items()}
    for title, words, settings in groups():
        listed = first.get(title, listed)
        if listed != page:
            continue
        entries = "".join(entry(*setting) for setting in settings)
        parts.append(f"## {title}\n\n{f'{words}{chr(10) * 2}' if words else ''}{entries}")
    return "\n".join(parts)


def written(page: Path) -> str:
    """Return a page as it has to be."""
    block = f"<!-- settings -->\n{sections(page)}<!-- /settings -->"
    return re.sub(
        "<!-- settings -->.*<!-- /settings -->",
        lambda _: block,
        page.read_text("utf-8"),
        flags=re.DOTALL,
    )


def example() -> str:
    """Return deploy/example.env as it has to be: each default is commented out."""
    lines = [
        "# Every setting with its default. A test generates this file from the settings.",
        "# Copy it to `.env`, or to /etc/orchestrator/environment for systemd. Then remove the #",
        "# before each line that you change. Secrets are empty here: put a secret into a file,",
        "# and name that file with VARIABLE_FILE=path.",
    ]
    for title, words, settings in groups():
        lines += ["", f"# -- {title} ".ljust(100, "-"), *wrapped(words, prefix="# ")]
        for variable, field, name in settings:
            value = "" if name == "home" or is_secret(field) else default(name, field)
            lines += ["", *wrapped(field.description or "", prefix="# "), f"#{variable}={value}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_current(page):
    assert page.read_text("utf-8") == written(page), "python -m tests.unit.test_configuration"


def test_the_example_is_current():
    assert EXAMPLE.read_text("utf-8") == example(), "python -m tests.unit.test_configuration"


def test_every_line_of_the_example_gives_the_default(tmp_path):
    """Uncommented and read as a `.env`, the whole file changes nothing."""
    lines = re.findall(r"^#([A-Z_]+=.*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    ours = [line for line in lines if not line.startswith(BACKEND_PREFIX)]
    assert sorted(line.partition("=")[0] for line in ours) == sorted(variables())
    dotenv = tmp_path / ".env"
    dotenv.write_text("\n".join(ours) + "\n")
    unset = load_settings({}, dotenv=tmp_path / "none")
    found = load_settings({}, dotenv=dotenv)
    assert found.model_dump(exclude={"sources"}) == unset.model_dump(exclude={"sources"})


def test_every_variable_is_on_it_once_and_says_what_it_is():
    rows = [setting for group in GROUPS.values() for setting in settings_of(group)]
    assert sorted(variable for variable, _, _ in rows) == sorted(variables())
    for variable, field, _ in rows:
        assert re.fullmatch(r"[^|]{10,}\.", field.description or ""), variable


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page), "utf-8")
    EXAMPLE.write_text(example(), "utf-8")
