"""The proxy puts the key into requests to the model, and refuses all that is not the model's."""

from __future__ import annotations

import json

import pytest

from tests.integration.egress.conftest import ASKED, KEY, client_of, say


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
    with opened(api.url, on_usage=heard.append) as proxy:
        with client_of(proxy, headers={"x-api-key": proxy.model.key}) as client:
            asked = client.post("/v1/messages", json={**ASKED, "stream": False})
        assert asked.json()["content"][0]["text"] == "Hello."
    assert proxy.meter.total.total_tokens == 130
    [report] = heard
    assert (report.message_id, report.usage.output_tokens) == (asked.json()["id"], 7)
    assert report.model == ""


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
