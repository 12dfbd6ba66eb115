"""`orch worker`: the worker of one pool, as `orch up` would start it."""

from __future__ import annotations

import os

import click

from orchestrator.cli.local.programs import worker_program
from orchestrator.cli.values import ChoiceType
from orchestrator.messages import QUEUES
from orchestrator.settings import Settings


@click.command()
@click.option("--pool", type=ChoiceType(QUEUES), required=True, help="The queue to serve.")
@click.option("--name", help="The name of this worker on this host. Default: the pool.")
@click.pass_obj
def worker(settings: Settings, pool: str, name: str | None) -> None:
    """Run the worker of one pool in the foreground, until a signal stops it.

    It needs the same Valkey as the rest of the system, and the same ORCHESTRATOR_HOME as the other
    parts on this host. On SIGTERM it requeues its agents before it exits.
    """
    argv = worker_program(settings, pool, name=name or pool).argv
    os.execv(argv[0], argv)  # noqa: S606 - it is to be this process
