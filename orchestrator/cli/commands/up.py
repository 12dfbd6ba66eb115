"""`orch up` and `orch down`: start and stop a whole system on this machine."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import NoReturn
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from orchestrator import wiring
from orchestrator.cli.commands.dashboard import USE, login_address
from orchestrator.cli.local import instance
from orchestrator.cli.local.flower import generated_password, password_file
from orchestrator.cli.local.programs import Listener, Program, api_url, listeners, programs
from orchestrator.cli.local.supervisord import START_WITHIN_S, start
from orchestrator.cli.output.render import json_option, print_json, waiting_line
from orchestrator.cli.output.text import notify, say
from orchestrator.errors import (
    OrchestratorError,
    PortInUse,
    SettingsInvalid,
    SystemNotRunning,
)
from orchestrator.settings import Settings
from orchestrator.store.client import Store
from orchestrator.wiring import host as wiring_host


@click.command()
@click.option("--detach", is_flag=True, help="Return when all parts are ready.")
@click.option(
    "--flower", is_flag=True, help="Also start Flower: on loopback, with a login, read-only."
)
@json_option
@click.pass_obj
def up(settings: Settings, *, detach: bool, flower: bool, as_json: bool) -> None:
    """Start all parts on this machine. Without --detach, Ctrl-C stops them."""
    # Before any start: the settings may require what this host cannot do.
    wiring_host.sandbox(settings)
    settings = _with_password(settings)
    bring_up(
        settings,
        programs(settings, flower=flower),
        listeners(settings, flower=flower),
        run_id=str(uuid.uuid4()),
        is_detached=detach,
        as_json=as_json,
    )


def _with_password(settings: Settings) -> Settings:
    """Generate the password of this system's own Valkey at the first start.

    Raises:
        SettingsInvalid: the home cannot be used.
    """
    has_one = settings.valkey_password is not None or not settings.is_embedded
    # A running Valkey that was started without a password must stay reachable.
    if has_one or instance.discover(settings.home):
        return settings
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"ORCHESTRATOR_HOME: {settings.home} cannot be used ({error.strerror})."
        raise SettingsInvalid(msg) from error
    password = generated_password(settings.valkey_password_file, "VALKEY_PASSWORD")
    return settings.model_copy(update={"valkey_password": SecretStr(password)})


def _is_generated(settings: Settings) -> bool:
    # The operator's own password is never printed.
    file, password = settings.valkey_password_file, settings.valkey_password
    if password is None or not settings.is_embedded or not file.exists():
        return False
    return file.read_text(encoding="utf-8").strip() == password.get_secret_value()


@click.command()
@json_option
@click.pass_obj
def down(settings: Settings, *, as_json: bool) -> None:
    """Stop the system that `orch up` started. Returns when every process has ended."""
    stopped = instance.stop(settings.home)
    if stopped.were_orphans:
        notify("its process manager had been killed; its remains are removed")
    if as_json:
        print_json({"stopped": stopped.names})
    else:
        say(f"Stopped: {', '.join(stopped.names) or 'nothing was left running'}.")


def bring_up(
    settings: Settings,
    parts: Sequence[Program],
    addresses: Sequence[Listener],
    *,
    run_id: str,
    is_detached: bool,
    as_json: bool,
    within_s: float = START_WITHIN_S,
) -> None:
    """Start the programs and print their addresses; then wait for their end, unless detached.

    Raises:
        SystemAlreadyRunning: a system runs from this home.
        PortInUse: an address is in use; no program was started.
        SettingsInvalid: an address or the home cannot be used.
        StartFailed: a program did not become ready; all programs were stopped again.
        SystemNotRunning: supervisord was killed during the wait.
    """
    home = settings.home
    with _sigterm_interrupts(), instance.claim(home, run_id) as lock:
        check_free(addresses)
        for part in parts:
            part.prepare()
        with ExitStack() as undo:
            undo.callback(_stop_undisturbed, settings)
            # A script reads the document and the errors alone.
            with nullcontext(lambda _: None) if as_json else waiting_line() as show:
                started = start(
                    home,
                    parts,
                    run_id=run_id,
                    lock=lock,
                    is_tied=not is_detached,
                    within_s=within_s,
                    on_wait=lambda name: show(f"waiting for {name}"),
                )
            system = instance.System(
                api=api_url(settings), valkey=settings.valkey_url, pids=started.pids, run_id=run_id
            )
            instance.publish(home, system)
            if is_detached:
                _announce(settings, system, addresses, as_json=as_json)
                undo.pop_all()
                return
            try:
                _announce(settings, system, addresses, as_json=as_json)
                _wait(settings, started.process)
            except KeyboardInterrupt:
                notify("stopping")


def check_free(addresses: Sequence[Listener]) -> None:
    """Bind every address briefly, all at once.

    Raises:
        PortInUse: an address is in use, or two are equal.
        SettingsInvalid: the process cannot listen on an address.
    """
    with ExitStack() as held:
        for address in addresses:
            where = (address.host, address.port)
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            try:
                held.enter_context(socket.create_server(where, family=family))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    msg = f"{address.name}'s port {address.port} on {address.host} is in use."
                    action = f"Stop what listens there, or set {address.variable} to another port."
                    raise PortInUse(msg, action=action) from error
                msg = f"{address.variable}: {address.host}:{address.port} ({error.strerror})."
                raise SettingsInvalid(msg) from error


def _announce(
    settings: Settings,
    system: instance.System,
    addresses: Sequence[Listener],
    *,
    as_json: bool,
) -> None:
    is_generated = _is_generated(settings)
    valkey = _without_password(system.valkey)
    flower = [f"http://{each.host}:{each.port}" for each in addresses if each.name == "Flower"]
    if as_json:
        # A Celery client needs no other setting than this address.
        shown = system.valkey if is_generated else valkey
        document: dict[str, object] = {"api": system.api, "valkey": shown, "pids": system.pids}
        print_json(document | ({"flower": flower[0]} if flower else {}))
        return
    where = "ORCHESTRATOR_FLOWER_PASSWORD" if settings.flower_password else password_file(settings)
    rows = {
        "API": [_address(settings, system)],
        "Valkey": [
            f"{valkey} (password: {settings.valkey_password_file})" if is_generated else valkey
        ],
        "Flower": [f"{url} (user {settings.flower_user}, password: {where})" for url in flower],
        "Logs": [str(instance.log_dir(settings.home))],
    }
    for name, values in rows.items():
        for value in values:
            say(f"{name:<8}{value}")


def _address(settings: Settings, system: instance.System) -> str:
    """Return the address of the dashboard, with a login if the API requires a key."""
    store = Store(system.valkey)
    try:
        if not store.follow(wiring.api_keys(settings).is_required()):
            return system.api
        return f"{login_address(settings, store)} (the dashboard; it {USE})"
    except OrchestratorError as error:
        # Such as an audit that refuses entries: the system runs all the same.
        notify(f"no login address: {error}")
        return system.api
    finally:
        store.close()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _wait(settings: Settings, supervisord: subprocess.Popen[bytes]) -> None:
    if exit_code := supervisord.wait():
        msg = f"The process manager ended ({exit_code}), so everything was stopped."
        action = f"Read {instance.log_dir(settings.home)}/supervisord.log."
        raise SystemNotRunning(msg, action=action)
    notify("stopped by someone else")


def _stop_undisturbed(settings: Settings) -> None:
    # A second Ctrl-C would leave half of the system running.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(SystemNotRunning):
        instance.stop(settings.home)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
