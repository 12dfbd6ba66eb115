"""Tunnels lead to allowed, public hosts only."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

import pytest

from orchestrator.egress.addresses import is_public
from tests.integration.egress.conftest import dial, heard_by, say


def test_a_tunnel_leads_to_an_allowed_name_and_each_half_ends_for_itself(opened, listener):
    async def resolve(name):
        assert name == "packages.example"
        return [ip_address("127.0.0.1")]

    host = f"packages.example:{listener}"
    said = os.urandom(3_000_000)
    with opened(resolve=resolve, hosts=(host,)) as proxy, dial(proxy) as client:
        # What stands behind the head already belongs to the tunnel.
        client.sendall(f"CONNECT {host.upper()} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode() + said)
        client.shutdown(socket.SHUT_WR)
        heard = heard_by(client)
        head, _, body = heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == said
        assert (proxy.counts.allowed, proxy.counts.refused) == (1, 0)


def test_connected_to_is_what_was_looked_at(opened, listener):
    """A name that answers differently the second time is not asked a second time."""
    answers = iter(["127.0.0.1"])

    async def resolve(_):
        return [ip_address(next(answers))]

    host = f"rebinds.example:{listener}"
    with opened(resolve=resolve, hosts=(host,)) as proxy, dial(proxy) as client:
        client.sendall(f"CONNECT {host} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert list(answers) == []


@pytest.mark.parametrize(
    "found", [("127.0.0.1",), ("93.184.216.34", "10.0.0.1"), ("::ffff:127.0.0.1",), ("::1",)]
)
def test_an_allowed_name_with_an_address_that_is_not_public_is_refused(opened, listener, found):
    async def resolve(_):
        return [ip_address(address) for address in found]

    host = f"inside.example:{listener}"
    with opened(resolve=resolve, public=is_public, hosts=(host,)) as proxy:
        said = say(proxy, f"CONNECT {host} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        assert said.startswith(b"HTTP/1.1 403 ")
        assert b"not public" in said
        assert (proxy.counts.allowed, proxy.counts.refused) == (0, 1)


def test_a_name_nobody_knows_is_told(opened):
    with opened(hosts=("nowhere.example:443",)) as proxy:
        said = say(proxy, b"CONNECT nowhere.example:443 HTTP/1.1\r\nhost: h\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"cannot be resolved" in said
