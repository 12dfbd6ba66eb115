"""`orch healthy PART`: whether the part of the system that this container or unit is does its work."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from http import HTTPStatus

import click

from orchestrator.cli.programs import PROBE_TIMEOUT_S, api_url
from orchestrator.errors import StoreUnreachable, SystemNotRunning
from orchestrator.lifecycle import presence
from orchestrator.messages import QUEUES
from orchestrator.settings import Settings
from orchestrator.store.executors import Store
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import clock

PARTS = ("api", "flower", "valkey", *QUEUES)


@click.command()
@click.argument("part", type=click.Choice(PARTS))
@click.pass_obj
def healthy(settings: Settings, *, part: str) -> None:
    """Exit 0 if this part answers; a pool, if this host's worker serves it.

    Raises:
        SystemNotRunning: it does not.
        StoreUnreachable: Valkey does not answer.
    """
    if part == "api":
        _ask(api_url(settings), "/health")
    elif part == "flower":
        _ask(f"http://127.0.0.1:{settings.flower_port}", "/healthcheck")
    else:
        with closing(Store(settings.valkey_url)) as store:
            store.run(command("PING", decode=nothing))
            if part in QUEUES and (name := f"{part}@{socket.gethostname()}") not in store.run(
                presence.present(now=clock())
            ):
                msg = f"The worker {name} has not said lately that it is there."
                raise SystemNotRunning(msg, action="Read its log.")
    click.echo("ok")


def _ask(url: str, path: str) -> None:
    connection = http.client.HTTPConnection(
        url.removeprefix("http://"), timeout=PROBE_TIMEOUT_S
    )
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        msg = f"{url}{path} does not answer ({error})."
        raise SystemNotRunning(msg, action="Read its log.") from error
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        msg = f"{url}{path} answers {status}."
        raise SystemNotRunning(msg, action="Read its log.")
