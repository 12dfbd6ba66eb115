"""`orch env`: prints the addresses of the running system, for other programs."""

from __future__ import annotations

import shlex

import click

from orchestrator.cli.local import instance
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import say
from orchestrator.errors import SystemNotRunning
from orchestrator.settings import Settings


@click.command()
@json_option
@click.pass_obj
def env(settings: Settings, *, as_json: bool) -> None:
    """Print the addresses of the running system as shell variables.

    BROKER_URL is the broker and the result backend of a Celery client, with its password. API_URL
    is the address of the API.
    """
    system = instance.discover_any(settings.home)
    if system is None:
        msg = f"No orchestrator runs from {settings.home}."
        raise SystemNotRunning(msg, action="Start one with `orch up`.")
    found = {"BROKER_URL": system.valkey, "API_URL": system.api}
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        say(f"export {name}={shlex.quote(value)}")
