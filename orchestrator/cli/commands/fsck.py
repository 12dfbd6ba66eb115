"""`orch fsck`: checks the consistency of records, queues, processes and folders; repairs them."""

from __future__ import annotations

import click

from orchestrator.cli import open_store
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import notify, one_line, say
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings
from orchestrator.wiring import host as wiring_host


@click.command()
@click.option("--fix", "is_fixing", is_flag=True, help="Repair what can be repaired at once.")
@json_option
@click.pass_context
def fsck(ctx: click.Context, /, *, is_fixing: bool, as_json: bool) -> None:
    """Compare records, indexes, queues, leases, workspaces and processes of this host.

    Without --fix it changes nothing. The exit code is 1 if it finds an inconsistency, or with --fix
    if it cannot repair one.
    """
    settings: Settings = ctx.obj
    left = 0
    with open_store(settings) as store:
        drifts = wiring_host.consistency_check(settings, store).check()
        for drift in drifts:
            is_repaired = False
            if is_fixing and drift.repair is not None:
                try:
                    drift.repair()
                    is_repaired = True
                except OrchestratorError as error:
                    # The other inconsistencies are repaired all the same.
                    notify(f"not repaired: {drift.kind} {drift.subject}: {error}")
            left += not is_repaired
            if not as_json:
                parts = ("repaired",) * is_repaired + (drift.kind, drift.subject, drift.detail)
                say("  ".join(map(one_line, parts)))
    if as_json:
        found = [
            {"kind": drift.kind, "subject": drift.subject, "detail": drift.detail}
            for drift in drifts
        ]
        print_json({"drifts": found, "left": left})
    elif not drifts:
        notify("everything agrees")
    if left:
        ctx.exit(1)
