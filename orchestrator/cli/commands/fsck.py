"""`orch fsck`: checks the consistency of records, queues, processes and folders; repairs them."""

from __future__ import annotations

import click

from orchestrator.cli import open_store
from orchestrator.cli.output.error_report import coded
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import notify, one_line, say
from orchestrator.errors import ApiLacks, OrchestratorError
from orchestrator.maintenance.drift import Drift
from orchestrator.settings import Settings
from orchestrator.wiring import host as wiring_host


@click.command()
@click.option("--fix", "is_fixing", is_flag=True, help="Repair what can be repaired at once.")
@json_option
@click.pass_context
def fsck(ctx: click.Context, /, *, is_fixing: bool, as_json: bool) -> None:
    """Compare records, indexes, queues, leases, workspaces and processes of this host.

    With --api, the host is that of the API. Without --fix it changes nothing; --fix needs a host of
    the system. The exit code is 1 if it finds an inconsistency, or with --fix if it cannot repair
    one.
    """
    settings: Settings = ctx.obj
    find = _found_by_api if settings.api_url else _found_here
    found = find(settings, is_fixing=is_fixing)
    left = 0
    for drift, is_repaired in found:
        left += not is_repaired
        if not as_json:
            parts = ("repaired",) * is_repaired + tuple(drift.values())
            say("  ".join(map(one_line, parts)))
    if as_json:
        print_json({"drifts": [drift for drift, _ in found], "left": left})
    elif not found:
        notify("everything agrees")
    if left:
        ctx.exit(1)


def _found_here(settings: Settings, *, is_fixing: bool) -> list[tuple[dict[str, str], bool]]:
    """Return each inconsistency as a document, and whether it was repaired."""
    found = []
    with open_store(settings) as store:
        for drift in wiring_host.consistency_check(settings, store).check():
            document = {"kind": drift.kind, "subject": drift.subject, "detail": drift.detail}
            found.append((document, is_fixing and _is_repaired(drift)))
    return found


def _is_repaired(drift: Drift) -> bool:
    if drift.repair is None:
        return False
    try:
        drift.repair()
    except OrchestratorError as error:
        # The other inconsistencies are repaired all the same.
        notify(f"not repaired: {drift.kind} {drift.subject}: {coded(error)}")
        return False
    return True


def _found_by_api(settings: Settings, *, is_fixing: bool) -> list[tuple[dict[str, str], bool]]:
    """Return the inconsistencies that the API finds, none of them repaired.

    Raises:
        ApiLacks: the API repairs nothing.
    """
    if is_fixing:
        raise ApiLacks
    from orchestrator.cli.clients.http import HttpClient  # noqa: PLC0415 - httpx: slow to load

    with HttpClient.open(settings) as client:
        return [(drift, False) for drift in client.drifts()]
