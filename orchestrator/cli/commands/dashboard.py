"""`orch dashboard`: prints an address that opens the dashboard and logs the browser in, once."""

from __future__ import annotations

import click

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.clients.who import who
from orchestrator.cli.commands.keys import LifetimeType
from orchestrator.cli.local import instance
from orchestrator.cli.local.programs import api_url
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import notify, say
from orchestrator.cli.values import ChoiceType
from orchestrator.control.logins import LIFE_S
from orchestrator.models import KeyScope
from orchestrator.settings import Settings
from orchestrator.store.client import Store

#: How long the key of a browser is valid.
EXPIRES_S = 12 * 3600.0
USE = f"works once, within {LIFE_S // 60} minutes"


@click.command()
@click.option(
    "--scope",
    "scopes",
    type=ChoiceType(KeyScope),
    multiple=True,
    help="What the dashboard may do. Repeatable. Default: all scopes.",
)
@click.option(
    "--expires",
    "expires_s",
    type=LifetimeType(),
    default="12h",
    show_default=True,
    help="How long the dashboard has access after the login.",
)
@json_option
@click.pass_obj
def dashboard(
    settings: Settings, *, scopes: tuple[KeyScope, ...], expires_s: float, as_json: bool
) -> None:
    """Print an address that opens the dashboard without an API key.

    The address works once, within 5 minutes. The browser gets a key of its own, which `orch keys
    ls` lists. Behind a reverse proxy, replace the beginning of the address by that of the proxy.
    """
    with open_store(settings) as store:
        address = login_address(settings, store, scopes or tuple(KeyScope), expires_s=expires_s)
    if as_json:
        print_json({"url": address})
    else:
        say(address)
        notify(f"it {USE}")


def login_address(
    settings: Settings,
    store: Store,
    scopes: tuple[KeyScope, ...] = tuple(KeyScope),
    *,
    expires_s: float = EXPIRES_S,
) -> str:
    """Create a login and return its address; raises as `Logins.create` does."""
    system = instance.discover(settings.home) if settings.is_embedded else None
    flow = wiring.logins(settings).create(scopes, by=who(), expires_s=expires_s)
    # A browser sends the fragment of an address to no server.
    return f"{system.api if system else api_url(settings)}/#login={store.follow(flow)}"
