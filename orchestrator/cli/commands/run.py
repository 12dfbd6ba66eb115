"""`orch run` and `orch healthy`: one program of the system, for a container or a systemd unit."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

import click
import httpx

from orchestrator.cli.local.instance import run_dir
from orchestrator.cli.local.programs import PROBE_TIMEOUT_S, api_url, programs
from orchestrator.cli.values import ChoiceType
from orchestrator.errors import SystemNotRunning
from orchestrator.messages import QUEUES
from orchestrator.settings import Settings
from orchestrator.store import server, workers
from orchestrator.store.client import Store

_FILTER = "docker-proxy"
RUN = ("api", "scheduler", "flower", _FILTER, *QUEUES)
ASKED = ("api", "flower", _FILTER, *QUEUES)


@click.command()
@click.argument("program", type=ChoiceType(RUN))
@click.pass_obj
def run(settings: Settings, *, program: str) -> None:
    """Run one program of the system in this process (exec)."""
    if program == _FILTER:
        # Not a program of `orch up`; it writes nothing to the home.
        proxy_argv = (
            sys.executable,
            "-P",
            "-m",
            "orchestrator.docker_proxy",
            str(settings.docker_proxy),
        )
        os.execv(proxy_argv[0], proxy_argv)  # noqa: S606 - no shell is the point
    run_dir(settings.home).mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = next(each.argv for each in programs(settings, flower=True) if each.name == program)
    os.execv(argv[0], argv)  # noqa: S606 - no shell is the point


@click.command()
@click.argument("program", type=ChoiceType(ASKED))
@click.pass_obj
def healthy(settings: Settings, *, program: str) -> None:
    """Exit 0 if this program answers. For a pool: if the worker of this host serves it."""
    if program == "api":
        _ask(api_url(settings), "/health")
    elif program == _FILTER:
        _ask_engine(settings.docker_proxy)
    elif program == "flower":
        _ask(f"http://127.0.0.1:{settings.flower_port}", "/healthcheck")
    else:
        with closing(Store(settings.valkey_url)) as store:
            name = f"{program}@{socket.gethostname()}"
            if name not in store.run(workers.present(now=store.run(server.now()))):
                msg = f"The worker {name} has not said lately that it is there."
                raise SystemNotRunning(msg, action="Read its log.")
    click.echo("ok")


def _ask(url: str, path: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PROBE_TIMEOUT_S)
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


def _ask_engine(path: Path) -> None:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            client.get("http://engine/_ping", timeout=PROBE_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        msg = f"No engine answers at {path} ({error})."
        raise SystemNotRunning(msg, action="Read the filter's log.") from error
