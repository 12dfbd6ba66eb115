"""An egress proxy on a socket, the model API behind it, and clients that speak to it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from orchestrator.egress.proxies import EgressProxies
from orchestrator.settings import load_settings
from tests.doubles.messages_api import MessagesApi, Text, Turn

KEY = "sk-real-key"

ASKED = {"model": "m", "tools": [{"name": "t"}], "stream": True, "messages": []}


@pytest.fixture
def api():
    with MessagesApi([Turn((Text("Hello."),), 7)] * 9, key=KEY) as double:
        yield double


@pytest.fixture
def home():
    """A path so short that a client can name a socket below it."""
    with TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
def opened(home, tmp_path):
    """Open a proxy: by default, one that sees every address as public, so as to reach loopback."""

    @contextmanager
    def start(
        api_url="http://127.0.0.1:9",
        *,
        resolve=None,
        public=lambda _: True,
        environ=None,
        **options,
    ):
        settings = load_settings(
            {
                **(environ or {}),
                "ORCHESTRATOR_HOME": str(home),
                "ORCHESTRATOR_SANDBOX_NETWORK": "proxy",
                "CLAUDE_API_KEY": KEY,
                "ANTHROPIC_BASE_URL": api_url,
            }
        )
        names = iter(range(100))

        async def nothing(name):
            raise OSError(name)

        egress = EgressProxies(
            settings,
            lambda: f"id-{next(names)}",
            resolve=resolve or nothing,
            is_public=public,
        )
        with egress.opened(tmp_path, with_model=True, **options) as proxy:
            yield proxy

    return start


def client_of(proxy, **options):
    transport = httpx.HTTPTransport(uds=str(proxy.socket))
    return httpx.Client(transport=transport, base_url="http://127.0.0.1:8118", **options)


def dial(proxy) -> socket.socket:
    dialled = socket.socket(socket.AF_UNIX)
    dialled.settimeout(60)
    try:
        dialled.connect(str(proxy.socket))
    except OSError:
        dialled.close()
        raise
    return dialled


def heard_by(connected: socket.socket) -> bytes:
    return b"".join(iter(lambda: connected.recv(65536), b""))


def say(proxy, said: bytes) -> bytes:
    """Say something and hear the answer to its end."""
    with dial(proxy) as client:
        client.sendall(said)
        return heard_by(client)


@pytest.fixture
def listener():
    """A host of the test's own, which answers with what it was sent, once that is over."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, suppress(ConnectionError):
                client.sendall(heard_by(client))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
