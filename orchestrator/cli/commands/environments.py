"""`orch environments`: lists and removes what this host remembers of base commits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.cli.output.text import notify, say
from orchestrator.environments.cache import EnvironmentCache, StoredEnvironment
from orchestrator.gates.base_records import BaseRecord, BaseRecords
from orchestrator.models.record import iso_instant
from orchestrator.settings import Settings

_SHOWN = 12
#: A shorter start of an id may be a slip.
_LEAST = 6
_ENVIRONMENTS = (
    Column("ENVIRONMENT", 0),
    Column("SIZE", 1),
    Column("SET-UP", 2),
    Column("LAST USED", 2),
    Column("IMAGE", 3),
)
_RUNS = (
    Column("BASE", 0),
    Column("GATE", 0),
    Column("RESULT", 1),
    Column("AT", 2),
    Column("COMMAND", 3),
)


def _prefix(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if value and (len(value) < _LEAST or not set(value) <= set("0123456789abcdef")):
        msg = f"must be the first {_LEAST} or more characters of the id of a commit"
        raise click.BadParameter(msg)
    return value


@click.group()
def environments() -> None:
    """List or remove the environments of this host, and the gate results of base commits."""


@environments.command("list")
@json_option
@click.pass_obj
def show(settings: Settings, *, as_json: bool) -> None:
    """List the environments, and how gates ended on base commits."""
    found, runs = _cache(settings).all(), _records(settings).all()
    if as_json:
        print_json(
            {
                "environments": [_environment(one) for one in found],
                "baseRuns": [_run(record) for record in runs],
            }
        )
        return
    print_table(_ENVIRONMENTS, [_environment_row(one) for one in found])
    if runs:
        say("")
        print_table(_RUNS, [_run_row(record) for record in runs])


@environments.command()
@click.argument("digests", nargs=-1, metavar="[ENVIRONMENT]...")
@click.option("--all", "is_all", is_flag=True, help="Remove every environment not in use.")
@json_option
@click.pass_obj
def remove(settings: Settings, digests: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Remove environments, so that the next agent sets them up again.

    The exit code is 1 if one of them is in use; it is not removed.
    """
    if is_all == bool(digests):
        msg = "Name environments, as `orch environments list` shows them, or give --all."
        raise click.UsageError(msg)
    cache = _cache(settings)
    known = [one.digest for one in cache.all()]
    chosen = known if is_all else [_chosen(digest, known) for digest in digests]
    removed = [digest for digest in chosen if cache.remove(digest)]
    in_use = [digest for digest in chosen if digest not in removed]
    if as_json:
        print_json({"removed": removed, "inUse": in_use})
    else:
        say(f"{len(removed)} environments removed")
    for digest in in_use:
        notify(f"{digest[:_SHOWN]} is in use: not removed")
    if in_use:
        raise click.exceptions.Exit(Exit.FAILED)


@environments.command()
@click.option(
    "--base", default="", callback=_prefix, help="Only the results of this commit. Default: all."
)
@json_option
@click.pass_obj
def forget(settings: Settings, *, base: str, as_json: bool) -> None:
    """Forget how gates ended on base commits, so that they run there again.

    Use it after a repair of this host: a result is remembered for up to four hours.
    """
    count = _records(settings).forget(base)
    if as_json:
        print_json({"forgotten": count})
    else:
        say(f"{count} results forgotten")


def _cache(settings: Settings) -> EnvironmentCache:
    return EnvironmentCache(settings.home / "environments", settings.environments_quota_bytes)


def _records(settings: Settings) -> BaseRecords:
    return BaseRecords(settings, level="")


def _chosen(prefix: str, known: list[str]) -> str:
    found = [digest for digest in known if digest.startswith(prefix)]
    if len(prefix) < _LEAST or len(found) != 1:
        what = "several environments" if len(found) > 1 else "no environment of this host"
        msg = f"{prefix} names {what}: `orch environments list` shows them."
        raise click.UsageError(msg)
    return found[0]


def _environment(one: StoredEnvironment) -> dict[str, Any]:
    image = one.manifest.environment.image
    return {
        "digest": one.digest,
        "sizeBytes": one.manifest.size_bytes,
        "setupS": round(one.manifest.setup_s, 1),
        "usedAt": _instant(one.used_at),
        "image": image.name if image else None,
    }


def _environment_row(one: StoredEnvironment) -> tuple[str, ...]:
    facts = _environment(one)
    size = f"{facts['sizeBytes'] / 2**20:.0f} MiB"
    used_at = facts["usedAt"]
    return facts["digest"][:_SHOWN], size, f"{facts['setupS']} s", used_at, facts["image"] or ""


def _run(record: BaseRecord) -> dict[str, Any]:
    return {
        "base": record.base,
        "gate": record.gate,
        "command": record.command,
        "results": [look.status.value for look in record.looks],
        "at": _instant(record.at),
    }


def _run_row(record: BaseRecord) -> tuple[str, ...]:
    facts = _run(record)
    results = ", ".join(dict.fromkeys(facts["results"]))
    return facts["base"][:_SHOWN], facts["gate"], results, facts["at"], facts["command"]


def _instant(at_s: float) -> str:
    return iso_instant(datetime.fromtimestamp(at_s, UTC))
