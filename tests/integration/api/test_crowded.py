"""Hundreds of connections that ask nothing, or never end, shut nobody's way to kill."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.api.http.connections import RESERVE
from tests.integration.api.conftest import serving

pytestmark = pytest.mark.timeout(300)

DESCRIPTORS = 512
MOST = DESCRIPTORS // 2 - RESERVE
UNFINISHED = tuple(
    f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n{".encode()
    for path in ("/agents/spawn", "/queues/spawn/pause")
)


@contextmanager
def crowded(valkey_url: str, *, count: int, sent: tuple[bytes, ...]) -> Iterator[httpx.URL]:
    """Serve with few descriptors while so many connections are held open."""
    with (
        serving(valkey_url, "prlimit", f"--nofile={DESCRIPTORS}") as (client, _),
        ExitStack() as held,
    ):
        url = client.base_url
        for at in range(count):
            one = held.enter_context(socket.create_connection((url.host, url.port)))
            one.sendall(sent[at % len(sent)])
            if sent is UNFINISHED and at < MOST:
                # Until the server reads the body, the connection counts as idle and may be closed.
                assert one.recv(100).startswith(b"HTTP/1.1 100 ")
        yield url


def ask(url: httpx.URL, method: str, path: str) -> int:
    """Ask on a connection of its own."""
    return httpx.request(method, url.join(path), timeout=60).status_code


@pytest.mark.parametrize(
    "sent", [b"", b"GET /agents HTTP/1.1\r\nHost: loc"], ids=["silent", "half"]
)
def test_idle_connections_give_way_to_whoever_asks(valkey_url, store, sent):
    with crowded(valkey_url, count=700, sent=(sent,)) as url:
        for _ in range(5):
            for method, path in (
                ("GET", "/health"),
                ("GET", "/health/ready"),
                ("POST", "/agents/kill-all"),
                ("GET", "/agents"),
            ):
                assert ask(url, method, path) in (200, 503 if path == "/health/ready" else 200)


def test_where_every_connection_is_in_use_kills_and_health_are_answered(valkey_url, store):
    with crowded(valkey_url, count=MOST, sent=UNFINISHED) as url:
        for _ in range(5):
            assert ask(url, "POST", "/agents/kill-all") == 200
            assert ask(url, "POST", "/agents/nobody/kill") == 404
            assert ask(url, "GET", "/health") == 200
            refused = httpx.get(url.join("/agents"), timeout=60)
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert "in use" in refused.json()["detail"]


def test_beyond_the_reserve_connections_end_and_those_served_go_on(valkey_url, store):
    with crowded(valkey_url, count=MOST + 3 * RESERVE, sent=UNFINISHED) as url:
        assert ask(url, "POST", "/agents/kill-all") == 200


def test_the_limit_of_open_files_is_raised_at_start(valkey_url, store):
    with serving(valkey_url, "prlimit", "--nofile=64:4096") as (client, process):
        assert client.get("/health").status_code == 200
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    (found,) = (line.split()[3:5] for line in limits if line.startswith("Max open files"))
    assert found == ["4096", "4096"]
