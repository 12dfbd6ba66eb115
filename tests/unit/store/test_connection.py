"""Connections to Valkey: what is sent again, what is not, and which connections are used again."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from orchestrator.errors import SettingsInvalid
from orchestrator.store.address import Address
from orchestrator.store.connection import (
    ConnectionLost,
    Connections,
    LoginRefused,
    NoAnswer,
    ReplyError,
    Tries,
)
from orchestrator.store.replies import shaped
from tests.conftest import free_port

AGAIN = Tries(again=3, is_after_timeouts=True, base_s=0.0)
ONCE_MORE = Tries(again=1, is_after_timeouts=False, base_s=0.0)


@contextmanager
def opened(url: str, *, tries: Tries = AGAIN, timeout_s: float = 5.0) -> Iterator[Connections]:
    client = Connections(
        Address.of(url), timeout_s=timeout_s, connect_timeout_s=timeout_s, tries=tries
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def answering(*answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one answer for each connection: bytes, nothing before it is closed, or None: silence.

    Yields the URL and what was received.
    """
    received: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            received.append(connection.recv(65_536))
            held.append(connection)
            if answer is not None:
                connection.sendall(answer)
            if not answer and answer is not None:
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
    for connection in held:
        connection.close()


def test_a_command_whose_connection_ended_is_sent_again():
    with answering(b"", b"", b"+PONG\r\n") as (url, received), opened(url) as client:
        assert client.call("PING") == b"PONG"
    assert len(received) == 3


def test_the_last_try_raises_what_happened():
    with answering(b"", b"", b"+PONG\r\n") as (url, received), opened(url, tries=ONCE_MORE) as one:
        with pytest.raises(ConnectionLost, match="closed by server"):
            one.call("PING")
        assert len(received) == 2


def test_where_time_is_limited_a_timeout_is_the_end():
    with answering(None, b"+PONG\r\n") as (url, received):
        with opened(url, tries=ONCE_MORE, timeout_s=0.1) as client, pytest.raises(NoAnswer):
            client.call("PING")
        assert len(received) == 1


def test_a_server_that_loads_its_data_is_asked_again():
    loading = b"-LOADING Valkey is loading the dataset in memory\r\n"
    with answering(loading, b"+PONG\r\n") as (url, _), opened(url) as client:
        assert client.call("PING") == b"PONG"


def test_what_is_no_reply_ends_the_connection():
    with answering(b"HTTP/1.1 400\r\n\r\n", b"+PONG\r\n") as (url, _), opened(url) as client:
        assert client.call("PING") == b"PONG"


def test_a_port_without_a_server_is_named():
    port = free_port()
    with (
        opened(f"redis://127.0.0.1:{port}") as client,
        pytest.raises(ConnectionLost, match=f"connecting to 127.0.0.1:{port}. Connection refused"),
    ):
        client.call("PING")


def test_a_refusal_is_not_sent_again_and_keeps_the_connection(valkey_url):
    with opened(valkey_url) as client:
        before = client.call("CLIENT", "ID")
        with pytest.raises(ReplyError) as refused:
            client.call("GET")
        assert refused.value.code == "ERR"
        assert client.call("CLIENT", "ID") == before


def test_a_connection_that_valkey_closed_is_replaced_before_it_is_used(valkey_url):
    with opened(valkey_url, tries=Tries(0, is_after_timeouts=False)) as one:
        with opened(valkey_url) as other:
            other.call("CLIENT", "KILL", "ID", one.call("CLIENT", "ID"))
        assert one.call("PING") == b"PONG"


def test_a_wait_that_is_interrupted_leaves_its_reply_to_nobody(valkey_url, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(valkey_url) as client:
        client.call("SET", "mine", "value")
        with monkeypatch.context() as patched:
            patched.setattr("orchestrator.store.connection.socket.socket.recv", interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.call("GET", "mine")
        assert client.call("PING") == b"PONG"


def test_a_forked_child_has_connections_of_its_own(valkey_url):
    with opened(valkey_url) as client:
        ours = client.call("CLIENT", "ID")
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, str(client.call("CLIENT", "ID")).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert int(os.read(reading, 20)) != ours
        assert client.call("CLIENT", "ID") == ours
        os.close(reading)
        os.close(writing)


def test_each_thread_that_waits_has_a_connection_and_the_next_uses_them_again(valkey_url):
    with opened(valkey_url) as client:
        threads = [threading.Thread(target=client.call, args=("BLPOP", "q", 5)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            client.call("RPUSH", "q", "x")
        for thread in threads:
            thread.join()
        ids = {client.call("CLIENT", "ID") for _ in range(6)}
    assert len(ids) == 1


@pytest.mark.parametrize("login", ["", ":wrong@", "default:wrong@", "nobody:secret@"])
def test_a_refused_login_is_one_try_and_says_so(valkey_url, login):
    with opened(valkey_url) as owner:
        owner.call("CONFIG", "SET", "requirepass", "secret")
        try:
            refused = pytest.raises(LoginRefused, match=r"uthentication required|invalid username")
            with opened(valkey_url.replace("//", f"//{login}")) as other, refused:
                other.call("PING")
            with opened(valkey_url.replace("//", "//default:secret@")) as other:
                assert other.call("PING") == b"PONG"
        finally:
            owner.call("CONFIG", "SET", "requirepass", "")


@pytest.mark.parametrize("where", ["/3", "?db=3", "/1?db=3"])
def test_the_database_of_the_url_is_used(valkey_url, where):
    with opened(valkey_url.removesuffix("/0") + where) as client:
        assert b" db=3 " in client.call("CLIENT", "INFO")


@pytest.mark.parametrize("fault", ["?databse=1", "?db=x"])
def test_an_option_that_nothing_reads_is_refused(fault):
    with pytest.raises(SettingsInvalid, match="VALKEY_URL"):
        Address.of(f"redis://localhost{fault}")


def test_replies_have_the_shapes_that_the_http_api_reads(valkey_url):
    with (
        opened(valkey_url) as ours,
        redis.Redis.from_url(valkey_url, protocol=2) as theirs,
    ):
        ours.call("XADD", "s", "1-1", "a", "1", "b", "2")
        ours.call("HSET", "h", "a", "1", "b", "2")
        ours.call("ZADD", "z", "1", "a", "2", "b")
        for command in (
            ("XRANGE", "s", "-", "+"), ("XRANGE", "none", "-", "+"), ("XREVRANGE", "s", "+", "-"),
            ("XREAD", "STREAMS", "s", "0"), ("XREAD", "STREAMS", "none", "0"), ("HGETALL", "h"),
            ("HGETALL", "none"), ("HSCAN", "h", 0), ("XINFO", "STREAM", "s"), ("GET", "none"),
            ("ZRANGE", "z", 0, -1, "WITHSCORES"), ("SMEMBERS", "none"), ("ZSCAN", "none", 0),
        ):  # fmt: skip
            expected = theirs.execute_command(*command)
            found = shaped(command[0], ours.call(*command))
            assert _plain(found) == _plain(expected), command
        # The library makes numbers of scores, which no decoder reads.
        assert shaped("ZSCAN", ours.call("ZSCAN", "z", 0)) == (0, [(b"a", b"1"), (b"b", b"2")])
        facts, expected = shaped("INFO", ours.call("INFO")), theirs.info()
        for name in ("redis_version", "aof_enabled", "maxmemory", "maxmemory_policy", "role"):
            assert facts[name] == expected[name]


def _plain(reply: object) -> object:
    """Return a reply of which tuples are lists; an empty reply is the same as none."""
    if isinstance(reply, dict):
        return {name: _plain(value) for name, value in reply.items()}
    if isinstance(reply, (list, tuple, set)):
        return [_plain(one) for one in reply] or None
    return reply or None
