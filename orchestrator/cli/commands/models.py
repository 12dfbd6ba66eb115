"""`orch models`: shows what each agent backend offers, by this host or by the API."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.models.offered import OfferedModels
from orchestrator.settings import Settings

_COLUMNS = (
    Column("AGENT", 0),
    Column("MODELS", 1),
    Column("EFFORTS", 2),
    Column("DEFAULTS", 3),
    Column("KEY", 1),
    Column("FAULT", 4),
)


@click.command()
@json_option
@click.pass_obj
def models(settings: Settings, *, as_json: bool) -> None:
    """Show each backend: its models, efforts and defaults, and whether its key is set.

    Without --api these are the backends and settings of this host; no system needs to run.
    """
    found = _found(settings)
    if as_json:
        documents = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in found]
        print_json({"backends": documents})
    else:
        print_table(_COLUMNS, [*map(_row, found)])


def _found(settings: Settings) -> tuple[OfferedModels, ...]:
    if settings.api_url:
        from orchestrator.cli.clients.http import HttpClient  # noqa: PLC0415 - httpx

        with HttpClient.open(settings) as client:
            return client.models()
    from orchestrator.wiring.models import offered_models  # noqa: PLC0415 - not over the API

    return offered_models(settings)


def _row(one: OfferedModels) -> tuple[str, ...]:
    key = {True: "set", False: "not set", None: ""}[one.has_key]
    name = f"{one.agent} (default)" if one.is_default else one.agent
    return (
        name,
        ", ".join(one.models),
        ", ".join(one.efforts),
        "; ".join(_defaults(one)),
        key,
        one.fault or "",
    )


def _defaults(one: OfferedModels) -> Iterator[str]:
    if one.model or one.effort:
        yield _named(one.model, one.effort)
    for agent_type, default in one.default_for.items():
        if default.model or default.effort:
            yield f"{agent_type}: {_named(default.model, default.effort)}"


def _named(model: str | None, effort: str | None) -> str:
    return " ".join(filter(None, (model, effort and f"effort {effort}")))
