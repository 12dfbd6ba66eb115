"""`orch config`: shows every setting with its value and source, and validates them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.alias_generators import to_camel

from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.cli.output.text import notify, say
from orchestrator.repo_config import shipped_schema
from orchestrator.secretscan import AllowList
from orchestrator.settings import Settings
from orchestrator.settings.record import BACKEND_PREFIX
from orchestrator.wiring import BACKENDS, with_secrets

MASK = "********"
_DEFAULT = "default"
_COLUMNS = (Column("SETTING", 0), Column("FROM", 2), Column("VALUE", 1))
_LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")


@dataclass(frozen=True)
class _Row:
    name: str
    value: str
    source: str

    def wire(self) -> dict[str, str]:
        return {to_camel(name): value for name, value in vars(self).items()}


@click.group()
def config() -> None:
    """Show the settings and their sources, or validate them."""


@config.command()
@click.option("--set", "is_set", is_flag=True, help="Only settings that differ from their default.")
@json_option
@click.pass_obj
def show(settings: Settings, *, is_set: bool, as_json: bool) -> None:
    """Show each setting with its variable, value and source. Secrets are masked."""
    rows = [row for row in _rows(with_secrets(settings)) if not (is_set and row.source == _DEFAULT)]
    if as_json:
        print_json({"settings": [row.wire() for row in rows]})
        return
    table = [(row.name, row.source, row.value) for row in rows]
    print_table(_COLUMNS, table)


@config.command()
@json_option
@click.pass_obj
def validate(settings: Settings, *, as_json: bool) -> None:
    """Validate every setting, the options of the backends and the files that settings name.

    A wrong value ends this command, like any other, with one line that names the variable.
    """
    for name in BACKENDS.names():
        BACKENDS.build(name, settings)
    AllowList.load(settings.secret_allow_list)
    if as_json:
        print_json({"valid": True})
    else:
        notify("the settings are valid")


@config.command()
def schema() -> None:
    """Print the JSON schema of a repository's `orchestrator.toml`."""
    say(shipped_schema().decode().rstrip())


def _rows(settings: Settings) -> Iterator[_Row]:
    dotenv = {name: value for name, value in dotenv_values(Path(".env")).items() if value}
    sources: tuple[tuple[str, Mapping[str, str]], ...] = (
        ("environment", os.environ),
        (".env", dotenv),
    )
    for field, info in sorted(
        type(settings).model_fields.items(), key=lambda pair: str(pair[1].validation_alias)
    ):
        if info.validation_alias:
            name = str(info.validation_alias)
            value = getattr(settings, field)
            yield _Row(name, _shown(settings, value), _source(name, sources))
    for name in sorted({name for _, given in sources for name in given}):
        if name.startswith(BACKEND_PREFIX):
            source, value = next(
                (source, given[name]) for source, given in sources if name in given
            )
            shown = MASK if _SECRET_NAME.search(name) else _shown(settings, value)
            yield _Row(name, shown, source)


def _source(name: str, sources: tuple[tuple[str, Mapping[str, str]], ...]) -> str:
    """Return the source of a value; sources are checked in the order in which settings are read."""
    for variable in (name, f"{name}_FILE"):
        for source, given in sources:
            if given.get(variable):
                return source if variable == name else f"{variable} ({source})"
    return _DEFAULT


def _shown(settings: Settings, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if isinstance(value, dict):
        given = {name: one.model_dump(exclude_none=True) for name, one in value.items()}
        text = json.dumps(given) if given else ""
    text = _LOGIN.sub(f"{MASK}@", text)
    # A command or an option may contain a secret of another setting.
    for secret in settings.secrets:
        # The plain form, and the form inside an option that is JSON.
        for written in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        ):
            text = text.replace(written, MASK)
    return text
