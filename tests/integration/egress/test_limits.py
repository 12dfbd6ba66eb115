"""Limits of requests and connections, and who may connect to the socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.egress import connection
from orchestrator.egress.proxies import EgressProxies
from orchestrator.egress.proxy import MOST_CONNECTIONS
from orchestrator.sandboxes import _port_forward
from orchestrator.settings import load_settings
from tests.conftest import free_port
from tests.integration.egress.conftest import ASKED, client_of, dial, say


def test_who_never_ends_a_request_keeps_nobody_waiting(opened, api, monkeypatch):
    with opened(api.url) as proxy, dial(proxy) as slow:
        slow.sendall(b"POST /v1/messages HTTP/1.1\r\nx-a: ")
        with client_of(proxy, headers={"x-api-key": proxy.model.key}) as client:
            assert client.post("/v1/messages", json=ASKED).status_code == 200
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)
    with opened(api.url) as proxy, dial(proxy) as slow:
        slow.sendall(b"POST /v1/messages HTTP/1.1\r\nx-a: ")
        assert slow.recv(1) == b""


def test_too_large_is_told_and_sent_nowhere(opened, api, listener, monkeypatch):
    start = b"POST /v1/messages HTTP/1.1\r\nhost: h\r\nx-api-key: placeholder-id-0\r\n"
    with opened(api.url) as proxy:
        reported = say(
            proxy, start + b"content-length: %d\r\n\r\n" % (connection.BODY_LIMIT_BYTES + 1)
        )
        assert reported.startswith(b"HTTP/1.1 413 ")
        head = b"GET /v1/models HTTP/1.1\r\nx-long: " + b"y" * 70_000
        assert say(proxy, head).startswith(b"HTTP/1.1 431 ")
        assert say(proxy, b"no http at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert proxy.counts.refused == 3
    assert api.requests == []
    # One that does not say how large it is ends where it is over the limit.
    monkeypatch.setattr(connection, "BODY_LIMIT_BYTES", 100_000)
    huge = b"x" * 100_001
    with opened(f"http://127.0.0.1:{listener}") as proxy:
        chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(huge), huge)
        assert say(proxy, start + chunked).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(opened, api):
    body = json.dumps({**ASKED, "stream": False}).encode()
    with opened(api.url) as proxy, dial(proxy) as client:
        client.sendall(
            b"POST /v1/messages HTTP/1.1\r\nhost: h\r\nx-api-key: %s\r\nexpect: 100-continue\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n"
            % (proxy.model.key.encode(), len(body))
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_comes_when_all_places_are_taken_waits_for_one(opened, api):
    with opened(api.url) as proxy:
        kept = [dial(proxy) for _ in range(MOST_CONNECTIONS)]
        with dial(proxy) as late:
            late.sendall(b"no http at all\r\n\r\n")
            # Whoever is served hears from us; each of those that are does so when it asks.
            for client in kept[1:]:
                client.sendall(b"GET / HTTP/1.1\r\n")
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.recv(1)
            late.settimeout(60)
            kept[0].close()
            assert late.recv(65536).startswith(b"HTTP/1.1 400 ")
        for client in kept:
            client.close()


def test_only_the_sandbox_s_user_may_connect(opened, tmp_path):
    os.chown(tmp_path, 4242, -1)
    with opened() as proxy:
        for path, mode in ((proxy.socket, 0o600), (proxy.socket.parent, 0o700)):
            assert path.stat().st_mode & 0o777 == mode
            assert path.stat().st_uid == 4242
        assert [path.name for path in proxy.socket.parent.iterdir()] == [proxy.socket.name]


def test_a_path_longer_than_a_socket_s_address_is_bound_and_found(tmp_path):
    home = tmp_path / ("h" * 100)
    settings = load_settings({"ORCHESTRATOR_HOME": str(home), "SANDBOX_ENABLED": "true"})
    forward, port = Path(_port_forward.__file__), str(free_port())
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/elsewhere')"
    with EgressProxies(settings, lambda: "x").opened(tmp_path) as proxy:
        argv = [sys.executable, "-I", "-S", forward, proxy.socket, port, sys.executable, "-c", ask]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert "HTTP Error 403" in ran.stderr, ran.stderr
    assert list((home / "egress" / socket.gethostname()).iterdir()) == []


def test_what_a_killed_worker_left_is_removed_and_what_lives_is_not(opened, home):
    folder = home / "egress" / socket.gethostname()
    # Its processes are not to be seen from here, so nothing tells whether they live.
    of_another_host = home / "egress" / "another" / "1-1-dead"
    for left in (folder / "1-1-dead", of_another_host):
        left.mkdir(parents=True)
    with opened() as first, opened() as second:
        assert not (folder / "1-1-dead").exists()
        assert of_another_host.exists()
        assert first.socket.exists()
        assert second.socket.exists()


def test_without_the_settings_word_programs_have_the_host_s_network(tmp_path):
    with EgressProxies(load_settings({}), lambda: "x").opened(tmp_path) as proxy:
        assert proxy is None
