"""The proxy: what it lets out, with the key put in; what it refuses; and that a cut is a cut."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from orchestrator.egress import connection
from orchestrator.egress.addresses import is_public
from orchestrator.egress.proxies import EgressProxies
from orchestrator.egress.proxy import MOST_CONNECTIONS
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.sandboxes import _port_forward
from orchestrator.settings import load_settings
from tests.conftest import free_port
from tests.doubles.messages_api import MessagesApi, Text, Turn
from tests.processes import eventually

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


# ── the model ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_the_real_key_takes_the_placeholder_s_place(opened, api, header):
    prefix = "Bearer " if header == "authorization" else ""
    api.key = None
    with opened(api.url) as proxy, client_of(proxy) as client:
        assert KEY not in proxy.model.key
        shown = {header: prefix + proxy.model.key, "anthropic-beta": "b-1", "connection": "x-hop",
                 "x-hop": "1"}  # fmt: skip
        for _ in range(2):
            answer = client.post("/v1/messages?beta=true", json=ASKED, headers=shown)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"
            assert "Hello." in answer.text
        assert (proxy.counts.allowed, proxy.counts.refused) == (2, 0)
        assert proxy.meter.total.output_tokens == 14
    for request in api.requests:
        assert request.headers[header] == prefix + KEY
        assert proxy.model.key not in str(request)
        assert request.headers["anthropic-beta"] == "b-1"
        assert "x-hop" not in request.headers
        assert request.headers["host"] == api.url.removeprefix("http://")


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"x-api-key": KEY},
        {"x-api-key": "placeholder-id-1"},
        {"authorization": "Bearer another"},
        {"authorization": "placeholder-id-0"},
        {"x-api-key": "placeholder-id-0", "authorization": "Bearer another"},
    ],
)
def test_another_key_than_this_attempt_s_goes_nowhere(opened, api, shown):
    with opened(api.url) as proxy, client_of(proxy) as client:
        assert proxy.model.key == "placeholder-id-0"
        assert client.post("/v1/messages", json=ASKED, headers=shown).status_code == 403
        assert proxy.counts.refused == 1
    assert api.requests == []


@pytest.mark.parametrize(
    "line",
    [
        # Batches are spent when nobody looks any more.
        *("POST /v1/messages/batches", "POST /v1/files", "GET /v1/organizations", "GET /"),
        *("POST /v1/messages/../files", "POST /v1/messages/%2e%2e/files", "POST //v1/messages"),
        *("DELETE /v1/models/m", "PUT /v1/messages", "GET /v1/models/../files", "GET /v2/models"),
        *("GET http://127.0.0.1:1/v1/models", "POST http://169.254.169.254/v1/messages"),
        *("CONNECT 127.0.0.1:6379", "CONNECT [::1]:6379", "CONNECT localhost:443", "CONNECT x"),
    ],
)
def test_whatever_is_not_the_model_s_is_refused_counted_and_told_once(opened, api, line):
    with opened(api.url) as proxy:
        head = f"{line} HTTP/1.1\r\nhost: h\r\nx-api-key: {proxy.model.key}\r\n\r\n"
        for _ in range(2):
            assert say(proxy, head.encode()).startswith(b"HTTP/1.1 403 ")
        assert (proxy.counts.allowed, proxy.counts.refused) == (0, 2)
        [reported] = proxy.drain_refusals()
        assert line.split(" ")[1].removeprefix("http://") in reported
        assert proxy.drain_refusals() == []
    assert api.requests == []


BY_ADDRESS = {"type": "image", "source": {"type": "url", "url": "https://elsewhere.example/?it"}}
INSIDE = {"type": "document", "source": {"type": "content", "content": [BY_ADDRESS]}}
FETCHING = {
    "a server of tools": {
        "mcp_servers": [{"type": "url", "url": "https://e.example", "name": "e"}]
    },
    "its tools": {"tools": [{"type": "mcp_toolset", "mcp_server_name": "e"}]},
    "a page": {"tools": [{"name": "t"}, {"type": "web_fetch_20250910", "name": "web_fetch"}]},
    "a search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "a run": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    "a tool of another kind": {"tools": [{"type": ["custom"]}]},
    "tools in another form": {"tools": {"t": {"type": "web_fetch_20250910"}}},
    "an image": {"messages": [{"role": "user", "content": [BY_ADDRESS]}]},
    "what a tool gave": {
        "messages": [{"content": [{"type": "tool_result", "content": [{"a": 1}, INSIDE]}]}]
    },
    "a prompt": {"system": [INSIDE]},
}
#: What is read in two ways is checked in one of them.
AMBIGUOUS = {
    "no JSON": b"{",
    "no object": b"[]",
    "nothing": b"",
    "one name twice": b'{"mcp_servers": [{}], "mcp_servers": []}',
    "another encoding": json.dumps(ASKED).encode("utf-16"),
    "too deep": b'{"a":' + b"[" * 100_000,
    "too many parts": b'{"a": [' + b"[]," * 1_000_000 + b"[]]}",
}


@pytest.mark.parametrize("what", [*FETCHING, *AMBIGUOUS])
def test_what_the_provider_would_fetch_for_an_agent_is_refused(opened, api, what):
    content = AMBIGUOUS.get(what, json.dumps({**ASKED, **FETCHING.get(what, {})}).encode())
    with opened(api.url) as proxy, client_of(proxy) as client:
        shown = {"x-api-key": proxy.model.key}
        for path in ("/v1/messages?beta=true", "/v1/messages/count_tokens"):
            answer = client.post(path, content=content, headers=shown)
            assert answer.status_code == 403
            assert answer.json()["error"]["type"] == "permission_error"
        assert (proxy.counts.allowed, proxy.counts.refused) == (0, 2)
        [reported] = proxy.drain_refusals()
        assert answer.json()["error"]["message"].partition(": ")[2] in reported
    assert api.requests == []


def test_an_operator_may_allow_it_and_what_an_agent_runs_itself_needs_no_leave(opened, api):
    kinds = ("custom", "bash_20250124", "text_editor_20250728", "memory_20250818")
    own = [{"name": "t"}, *({"name": "t", "type": kind} for kind in kinds)]
    # A tool's arguments are the tool's: nobody fetches what is named there.
    asked = {"type": "tool_use", "name": "t", "input": BY_ADDRESS}
    harmless = {**ASKED, "tools": own, "messages": [{"role": "assistant", "content": [asked]}]}
    allowing = {"ORCHESTRATOR_EGRESS_MODEL_FETCHES": "true"}
    for environ, bodies in (({}, [harmless]), (allowing, [ASKED | f for f in FETCHING.values()])):
        with opened(api.url, environ=environ) as proxy, client_of(proxy) as client:
            for body in bodies:
                client.post("/v1/messages", json=body, headers={"x-api-key": proxy.model.key})
            assert (proxy.counts.allowed, proxy.counts.refused) == (len(bodies), 0)
    assert [request.body for request in api.requests[1:]] == bodies


def test_an_answer_that_is_not_streamed_is_metered_too(opened, api):
    heard = []
    with opened(api.url, on_usage=lambda *reported: heard.append(reported)) as proxy:
        with client_of(proxy, headers={"x-api-key": proxy.model.key}) as client:
            asked = client.post("/v1/messages", json={**ASKED, "stream": False})
        assert asked.json()["content"][0]["text"] == "Hello."
    assert proxy.meter.total.total_tokens == 130
    [(message_id, usage)] = heard
    assert (message_id, usage.output_tokens) == (asked.json()["id"], 7)


def test_an_error_of_the_provider_is_passed_on_and_one_that_is_away_is_told(opened, api):
    api.key = "another"
    with opened(api.url) as proxy, client_of(proxy) as client:
        shown = {"x-api-key": proxy.model.key}
        assert client.post("/v1/messages", json=ASKED, headers=shown).status_code == 401
    with opened("http://127.0.0.1:9") as proxy, client_of(proxy) as client:
        shown = {"x-api-key": proxy.model.key}
        assert client.post("/v1/messages", json=ASKED, headers=shown).status_code == 502
        # It was let out: that nobody answered is no refusal.
        assert (proxy.counts.allowed, proxy.counts.refused) == (1, 0)
        assert "ConnectError" in proxy.drain_refusals()[0]


# ── streams and the cut ─────────────────────────────────────────────────────────────────────


class Drip:
    """A provider that says one event of an answer whenever it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None

    def accept(self) -> None:
        """Take a request, and leave it without an answer."""
        self._client, _ = self._listener.accept()
        self._client.settimeout(60)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._client.recv(65536)

    def begin(self) -> None:
        self._client.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    def say(self, event: dict) -> bytes:
        data = f"data: {json.dumps(event)}\n\n".encode()
        self._client.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        return data

    def end(self) -> None:
        self._client.sendall(b"0\r\n\r\n")

    def answer_whole(self, document: dict) -> None:
        content = json.dumps(document).encode()
        self._client.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(content), content)
        )

    def await_end(self) -> None:
        """Return when the client is gone, whatever it still had said."""
        with suppress(ConnectionResetError):
            while self._client.recv(65536):
                pass

    def close(self) -> None:
        self._listener.close()
        if self._client:
            self._client.close()


@pytest.fixture
def drip():
    made = Drip()
    yield made
    made.close()


def ask(proxy, drip) -> socket.socket:
    """Ask for a message; returns once the provider has heard it."""
    client = dial(proxy)
    body = json.dumps(ASKED).encode()
    client.sendall(
        b"POST /v1/messages HTTP/1.1\r\nhost: h\r\nx-api-key: %s\r\ncontent-length: %d\r\n\r\n%s"
        % (proxy.model.key.encode(), len(body), body)
    )
    drip.accept()
    return client


def begin_stream(proxy, drip) -> socket.socket:
    """Ask for a message; returns once the head of its answer is there."""
    client = ask(proxy, drip)
    drip.begin()
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    return client


STARTED = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5}}}


def test_each_event_passes_as_it_comes(opened, drip):
    with opened(drip.url) as proxy, begin_stream(proxy, drip) as client:
        for event in (STARTED, {"type": "ping"}):
            said = drip.say(event)
            heard = b""
            while said not in heard:
                heard += client.recv(65536)
        assert proxy.meter.total.total_tokens == 5


def test_who_hangs_up_in_the_middle_has_spent_what_the_answer_s_end_says(opened, drip):
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 200}}
    with opened(drip.url) as proxy:
        with begin_stream(proxy, drip) as client:
            drip.say(STARTED)
            client.recv(65536)
        for _ in range(2_000):
            drip.say(delta)
        drip.say({"type": "message_delta", "usage": {"input_tokens": 5, "output_tokens": 20_000}})
        eventually(lambda: proxy.meter.total.total_tokens == 20_005)


def test_so_has_who_does_not_wait_for_an_answer_that_comes_whole(opened, drip):
    with opened(drip.url) as proxy:
        ask(proxy, drip).close()
        drip.answer_whole({"type": "message", "id": "m", "usage": {"output_tokens": 20_000}})
        eventually(lambda: proxy.meter.total.total_tokens == 20_000)


@pytest.mark.parametrize("by", ["cut", "custody", "unheard", "leaving"])
def test_a_cut_ends_the_answer_at_both_ends_and_lets_no_one_in(opened, drip, by):
    """The provider sees its client gone while it still had much to say: no more is spent."""
    cancel_scope = CancelScope()
    with working_in(cancel_scope), opened(drip.url) as proxy:
        client, idle = begin_stream(proxy, drip), dial(proxy)
        drip.say(STARTED)
        client.recv(65536)
        if by == "unheard":
            client.close()
            drip.say({"type": "ping"})
            drip.say({"type": "ping"})
        enders = {"cut": proxy.cut, "unheard": proxy.cut, "custody": cancel_scope.end}
        if by in enders:
            ender = threading.Thread(target=enders[by])
            ender.start()
            ender.join()
            drip.await_end()
    drip.await_end()
    for connected in (idle,) if by == "unheard" else (client, idle):
        with connected, suppress(ConnectionResetError):
            assert connected.recv(65536) == b""
    assert not proxy.socket.parent.exists()


def test_after_a_cut_nobody_is_served(opened, api):
    with opened(api.url) as proxy:
        proxy.cut()
        with suppress(ConnectionError):
            assert say(proxy, b"GET /v1/models HTTP/1.1\r\nhost: h\r\n\r\n") == b""
    assert api.requests == []


def test_what_joins_an_ended_custody_is_cut_as_it_opens(opened, api):
    cancel_scope = CancelScope()
    cancel_scope.end()
    with working_in(cancel_scope), opened(api.url) as proxy, suppress(ConnectionError):
        assert say(proxy, b"GET /v1/models HTTP/1.1\r\nhost: h\r\n\r\n") == b""


# ── other hosts ─────────────────────────────────────────────────────────────────────────────


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


# ── limits ──────────────────────────────────────────────────────────────────────────────────


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


# ── the socket ──────────────────────────────────────────────────────────────────────────────


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
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
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
