"""Who holds connections or streams open keeps nobody else out; least of all who kills."""

from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest
import uvicorn

from orchestrator import wiring
from orchestrator.api.__main__ import listen
from orchestrator.api.http import connections
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from tests.conftest import free_port
from tests.integration.api.conftest import problem_of, serving

pytestmark = pytest.mark.timeout(300)

ASK = b"%b / HTTP/1.1\r\nHost: localhost\r\n"


# ── connections ─────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def answering(app):
    """Serve an app as `python -m orchestrator.api` does; gives what opens connections to it."""
    port = free_port()
    with listen("127.0.0.1", port) as listener:
        config = uvicorn.Config(app, http=connections.Connection, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        # Not `serve`, which takes the signals of this process.
        serving_ = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            yield lambda: asyncio.open_connection("127.0.0.1", port, limit=2**10)
        finally:
            server.should_exit = True
            await serving_


async def end_of(reader):
    """Wait until the server has closed a connection; returns what it said before."""
    said = bytearray()
    try:
        while chunk := await reader.read(2**16):
            said += chunk
    except ConnectionResetError:
        pass
    return bytes(said)


async def drip(writer, drop):
    """Send without an end."""
    try:
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass


async def _idlers(opened):
    is_free = asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/wait":
            await is_free.wait()
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"0")],
        }
        await send(start)
        await send({"type": "http.response.body"})

    async with answering(app) as connect:
        served, asks = await connect()
        asks.write(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for begun, drop in opened:
            reader, writer = await connect()
            writer.write(begun)
            dripping = asyncio.create_task(drip(writer, drop))
            said = await end_of(reader)
            assert said.count(b"200 OK") == begun.count(b"\r\n\r\n")
            dripping.cancel()
            writer.close()
        # That took longer than a head may: who is being served is not in its way.
        is_free.set()
        assert (await served.readline()).endswith(b"200 OK\r\n")
        asks.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await end_of(served)).count(b"200 OK") == 1
        asks.close()


def test_a_connection_that_asks_nothing_is_closed(monkeypatch):
    """Silent, a head without an end, a body that nobody waits for; the server's own is 20 s."""
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 0.2)
    ask = ASK % b"GET"
    post = ASK % b"POST" + b"Content-Length: 100000\r\n\r\n"
    asyncio.run(
        _idlers([(b"", b""), (ask, b"X: y\r\n"), (ask + b"\r\n" + ask, b"X: y\r\n"), (post, b"x")])
    )


@contextmanager
def _listener(family):
    """A listener as `orch up`, systemd or a test hands one over: none names its protocol."""
    if family == socket.AF_UNIX:
        with socket.socket(family) as listener:
            listener.bind(b"\0" + uuid.uuid4().bytes)
            listener.listen()
            yield listener
    else:
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        with socket.create_server((host, 0), family=family) as listener:
            yield listener


async def _asked_again_and_again(family):
    options = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    class Watched(connections.Connection):
        def data_received(self, data):
            connected = self.transport.get_extra_info("socket")
            if connected.family != socket.AF_UNIX:
                option = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                options.append((id(self), option != 0))
            super().data_received(data)

    with _listener(family) as listener:
        config = uvicorn.Config(app, http=Watched, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving_ = asyncio.create_task(server._serve(sockets=[listener]))
        with socket.socket(family) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
            reader, writer = await asyncio.open_connection(sock=client)
            for _ in range(5):
                writer.write(ASK % b"GET" + b"\r\n")
                assert (await reader.readline()).endswith(b"200 OK\r\n")
                assert await reader.readuntil(b"\r\n\r\n1\r\nx\r\n0\r\n\r\n")
            writer.close()
        server.should_exit = True
        await serving_
    return options


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_no_answer_on_a_kept_connection_waits_for_an_acknowledgement(family):
    """Nagle's algorithm is off at every request; a Unix socket has none, and is served as well."""
    options = asyncio.run(_asked_again_and_again(family))
    if family == socket.AF_UNIX:
        assert options == []
        return
    assert len(options) == 5
    assert len({connection for connection, _ in options}) == 1
    assert all(is_off for _, is_off in options)


async def _who_does_not_read():
    is_over = asyncio.Event()

    async def flood(send):
        while True:
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
            await asyncio.sleep(0)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        flooding = asyncio.create_task(flood(send))
        assert (await receive())["type"] == "http.disconnect"
        flooding.cancel()
        is_over.set()

    async with answering(app) as connect:
        _, writer = await connect()
        writer.write(ASK % b"GET" + b"\r\n")
        await is_over.wait()
        writer.close()


def test_who_does_not_read_is_let_go(monkeypatch):
    monkeypatch.setattr(connections, "READ_WITHIN_S", 0.2)
    asyncio.run(_who_does_not_read())


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_streams_are_capped_for_each_caller_and_in_all_and_kills_are_not(
    valkey_url, store, tmp_path
):
    """128 descriptors: 32 streams, 8 a caller."""
    environ = {"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_SIGNING_KEY": "k" * 64}
    api_keys = wiring.api_keys(load_settings(environ | {"VALKEY_URL": valkey_url}))
    tokens = [
        store.follow(api_keys.add(f"key-{at}", (KeyScope.READ, KeyScope.KILL), by="ann"))
        for at in range(5)
    ]
    with ExitStack() as stack:
        api, _ = stack.enter_context(serving(valkey_url, "prlimit", "--nofile=128", **environ))

        def follow(token, on):
            headers = {"X-API-Key": token, "Accept": "text/event-stream"}
            answer = on.enter_context(api.stream("GET", "/agents/events", headers=headers))
            if answer.status_code == 200:
                chunks = answer.iter_bytes()
                on.callback(chunks.close)  # kept until then: without it the stream is closed
                return bool(next(chunks))
            answer.read()
            document = problem_of(answer, 429)
            assert document["type"] == "urn:orchestrator:error:rate_limited"
            assert int(answer.headers["retry-after"]) > 0
            return False

        for token in tokens[:3]:
            assert [follow(token, stack) for _ in range(9)] == [True] * 8 + [False]
        with ExitStack() as some:
            assert [follow(tokens[3], some) for _ in range(8)] == [True] * 8
            assert not follow(tokens[4], some), "there are no more in all"
            for token in tokens:
                asked = {"X-API-Key": token}
                assert api.post("/agents/kill-all", headers=asked).status_code == 200
                assert api.get("/agents", headers=asked).status_code == 200
        # Streams that ended make room; the server has seen so when it says so.
        while not follow(tokens[4], stack):
            pass
