"""`orch worker`: the worker of one pool, as `orch up` would start it."""

from __future__ import annotations

import os

import click

from orchestrator.cli.local.programs import worker_program
from orchestrator.messages import QUEUES
from orchestrator.settings import Settings


@click.command()
@click.option("--pool", type=click.Choice(QUEUES), required=True, help="The queue it serves.")
@click.option("--name", help="Its name on this host, if there is more than one. Default: the pool.")
@click.pass_obj
def worker(settings: Settings, pool: str, name: str | None) -> None:
    """Run the worker of one pool in the foreground, until a signal ends it.

    It needs the same Valkey and, but for those of other hosts, the same ORCHESTRATOR_HOME as the
    rest of the system. SIGTERM lets it give its agents back.
    """
    argv = worker_program(settings, pool, name=name or pool).argv
    os.execv(argv[0], argv)  # noqa: S606 - it is to be this process
