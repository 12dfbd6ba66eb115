"""`orch audit`: prints the audit and verifies its chain."""

from __future__ import annotations

from collections.abc import Sequence

import click
from pydantic import ValidationError

from orchestrator.audit.log import Audit
from orchestrator.cli import open_store
from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.commands.completion import AgentId
from orchestrator.cli.ids import named, typed_ids
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.output.text import notify, say
from orchestrator.errors import NotFound
from orchestrator.models import AuditEntry, AuditMark, AuditVerdict
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.store.client import Store
from orchestrator.wiring import clock, new_id

_COLUMNS = (
    Column("SEQ", 0, is_number=True),
    Column("TIME", 1),
    Column("ACTION", 0),
    Column("WHO", 2),
    Column("ON", 0, least=ID_WIDTH),
    Column("BEFORE", 5),
    Column("RESULT", 3),
    Column("WHY", 4),
)


def _mark(_ctx: click.Context, _param: click.Parameter, value: str | None) -> AuditMark | None:
    if value is None:
        return None
    seq, _, mac = value.partition(":")
    try:
        return AuditMark.model_validate({"seq": seq, "mac": mac})
    except ValidationError as error:
        msg = "must be SEQ:MAC, as `orch audit --verify` prints it."
        raise click.BadParameter(msg) from error


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option(
    "--agent",
    "agent_ids",
    type=AgentId(),
    metavar="ID",
    multiple=True,
    help="Only entries about this agent. Repeatable; `-` reads ids from standard input.",
)
@click.option(
    "--verify", "is_check", is_flag=True, help="Verify the whole audit instead of printing it."
)
@click.option(
    "--expect",
    "pinned",
    callback=_mark,
    metavar="SEQ:MAC",
    help="With --verify: the head that an earlier --verify printed. Keep it outside Valkey. Without"
    " it, --verify does not detect that the whole audit was removed or reset to an older state.",
)
@json_option
@click.pass_context
def audit(
    ctx: click.Context,
    *,
    limit: int,
    agent_ids: tuple[str, ...],
    is_check: bool,
    pinned: AuditMark | None,
    as_json: bool,
) -> None:
    """Print the audit: who did what to which agent, newest entry last.

    --verify checks the signature of every entry. It exits 1 if an entry was edited, removed or
    moved, and names the first such entry.
    """
    if pinned and not is_check:
        msg = "--expect goes with --verify."
        raise click.UsageError(msg)
    settings: Settings = ctx.obj
    if is_check:
        with open_store(settings) as store:
            verdict = _check(store, settings, pinned)
        print_json(verdict.wire()) if as_json else _print_verdict(verdict)
        ctx.exit(0 if verdict.intact else 1)
    with open_client(settings) as client:
        names = [_agent_of(client, one) for one in typed_ids(agent_ids)] if agent_ids else [""]
        found = [
            one for name in dict.fromkeys(names) for one in client.audit(limit=limit, agent_id=name)
        ]
        entries = sorted(found, key=lambda one: one.seq)[-limit:]
    if as_json:
        print_json({"entries": [entry.wire() for entry in entries]})
    else:
        _print_table(entries)


def _agent_of(client: Client, given: str) -> str:
    try:
        return named(client, given)
    except NotFound:
        # The audit outlives the record of an agent.
        notify(f"no record of an agent begins with {given}: only its full id is matched")
        return given


def _check(store: Store, settings: Settings, pinned: AuditMark | None) -> AuditVerdict:
    chain = Audit(signing_key(settings, "audit"), clock, new_id)
    return store.follow(chain.verify(pinned))


def _print_verdict(verdict: AuditVerdict) -> None:
    if verdict.intact:
        say(f"intact: {verdict.entries} entries")
        if verdict.head:
            say(f"keep this outside Valkey: --expect {verdict.head}")
        return
    notify(f"the audit does not hold ({verdict.fault}): {verdict.detail}")
    notify(f"{verdict.entries} entries before that hold")


def _print_table(entries: Sequence[AuditEntry]) -> None:
    rows = [
        (
            str(entry.seq),
            f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}",
            entry.action,
            entry.who,
            entry.agent_id or entry.task_id or entry.scope or "",
            entry.before or "",
            entry.result or "",
            entry.why or "",
        )
        for entry in entries
    ]
    print_table(_COLUMNS, rows)
