"""Runs the HTTP API: `python -m orchestrator.api`."""

from __future__ import annotations

import errno
import signal
import socket
import sys

import uvicorn

from orchestrator.api.app import create_app
from orchestrator.api.http.connections import Connection
from orchestrator.errors import OrchestratorError, PortInUse, SettingsInvalid
from orchestrator.host.descriptors import raise_descriptor_limit
from orchestrator.log import configure_logging, get_logger
from orchestrator.settings import Settings, load_settings
from orchestrator.wiring import with_secrets

#: Longer than the wait of an event stream, so that open streams end by themselves.
STOP_WITHIN_S = 5
ACCEPTED_AT_ONCE = 128


def listen(host: str, port: int) -> socket.socket:
    """Bind the port before any other part starts.

    Raises:
        PortInUse: another program listens on the port.
        SettingsInvalid: the process cannot listen on this address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            msg = f"The API's port {port} on {host} is taken (ORCHESTRATOR_PORT)."
            raise PortInUse(msg) from error
        msg = f"ORCHESTRATOR_HOST, ORCHESTRATOR_PORT: {host}:{port} ({error.strerror})."
        raise SettingsInvalid(msg) from error


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises as `listen` does."""
    with listen(settings.host, settings.port) as listener:
        app = create_app(settings, is_stopping=lambda: server.should_exit)
        config = uvicorn.Config(
            app,
            http=Connection,
            loop="uvloop",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_WITHIN_S,
            # As many are accepted at once: fewer than there are descriptors to spare.
            backlog=ACCEPTED_AT_ONCE,
        )
        server = uvicorn.Server(config)
        get_logger("api").info("listening", host=settings.host, port=settings.port)
        server.run(sockets=[listener])


def main() -> int:
    """Serve until a signal stops the process; return the exit code."""
    # Uvicorn raises the signal again after it has stopped: that is a normal end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = with_secrets(load_settings())
        configure_logging(secrets=settings.secrets)
        raise_descriptor_limit()
        serve(settings)
    except OrchestratorError as error:
        sys.stderr.write(f"orchestrator.api: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
