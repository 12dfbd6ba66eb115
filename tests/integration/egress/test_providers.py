"""Each provider behind the proxy: its key, its paths, its tokens, and what it may not fetch."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from tests.doubles.model_apis import ModelApi
from tests.integration.egress.conftest import KEY, client_of

OPENAI = {"OPENAI_API_KEY": "sk-openai-real"}
GEMINI = {"GEMINI_API_KEY": "gemini-real"}
PLAIN = {"model": "m", "input": "hello"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CONTENT = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens": 7,
        "total_tokens": 107,
    },
}
COMPLETION_USAGE = {
    "prompt_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens": 7,
}
CHUNKS = [
    {"id": "chat-1", "choices": [{"delta": {"content": "Hi"}}], "usage": None},
    {"id": "chat-1", "choices": [], "usage": COMPLETION_USAGE},
]
GEMINI_USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 107,
}
PARTS = [
    {"responseId": "g-1", "usageMetadata": GEMINI_USAGE | {"candidatesTokenCount": 1}},
    {"responseId": "g-1", "usageMetadata": GEMINI_USAGE},
]
GENERATE = "/gemini/v1beta/models/gemini-x:generateContent"
STREAM = "/gemini/v1beta/models/gemini-x:streamGenerateContent?alt=sse"

#: The path at the proxy, a body, the response of the provider, and the id of the report.
ANSWERED = {
    "a response": ("/openai/v1/responses", PLAIN, RESPONSE, "resp_1"),
    "its stream": (
        "/openai/v1/responses",
        PLAIN | {"stream": True},
        [
            {"type": "response.created", "response": {"id": "resp_1", "usage": None}},
            {"type": "response.completed", "response": RESPONSE},
        ],
        "resp_1",
    ),
    "a completion": (
        "/openai/v1/chat/completions",
        CHAT,
        {"id": "chat-1", "usage": COMPLETION_USAGE},
        "chat-1",
    ),
    "chunks": ("/openai/v1/chat/completions", CHAT | {"stream": True}, CHUNKS, "chat-1"),
    "chunks of another server": (
        "/compatible/v1/chat/completions",
        CHAT | {"stream": True},
        CHUNKS,
        "response 1",
    ),
    "content": (GENERATE, CONTENT, {"responseId": "g-1", "usageMetadata": GEMINI_USAGE}, "g-1"),
    "a stream of content": (STREAM, CONTENT, PARTS, "g-1"),
}


@pytest.fixture
def proxied(opened):
    """Open a proxy with all providers at one double; yields it with a client and its key."""

    @contextmanager
    def start(api, **environ):
        given = {
            **OPENAI,
            **GEMINI,
            "OPENAI_BASE_URL": f"{api.url}/v1",
            "OPENAI_COMPATIBLE_BASE_URL": f"{api.url}/other/v1",
            "GEMINI_BASE_URL": api.url,
            **environ,
        }
        heard = []
        with (
            opened(
                api.url,
                environ=given,
                on_usage=lambda seen: heard.append((seen.message_id, seen.usage)),
            ) as proxy,
            client_of(proxy) as client,
        ):
            yield proxy, client, heard

    return start


def shown(path: str, key: str) -> dict[str, str]:
    if path.startswith("/gemini"):
        return {"x-goog-api-key": key}
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("what", ANSWERED)
def test_each_response_is_counted_once_and_only_the_provider_sees_the_key(proxied, what):
    path, body, response, message_id = ANSWERED[what]
    with ModelApi(response) as api, proxied(api) as (proxy, client, heard):
        answer = client.post(path, json=body, headers=shown(path, proxy.model.key))
        assert answer.status_code == 200
        key = proxy.model.key
    # The proxy reads a document after its client has it; it is closed here.
    usage = proxy.meter.total
    counts = usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
    assert counts == (40, 60, 7)
    assert heard[-1][0] == message_id
    [request] = api.requests
    given = str(request.headers)
    assert key not in given
    assert KEY not in given
    keys = {"openai": "sk-openai-real", "gemini": "gemini-real"}
    provider = path.split("/")[1]
    assert all((key in given) == (name == provider) for name, key in keys.items())


def test_a_program_is_told_where_each_provider_with_a_key_is(proxied):
    with ModelApi({}) as api, proxied(api) as (proxy, _, _):
        assert proxy.model.addresses == {
            "anthropic": "http://127.0.0.1:8118",
            "compatible": "http://127.0.0.1:8118/compatible/v1",
            "gemini": "http://127.0.0.1:8118/gemini",
            "openai": "http://127.0.0.1:8118/openai/v1",
        }
        given = str(proxy.model.variables)
        assert not any(key in given for key in (KEY, "sk-openai-real", "gemini-real"))


def test_a_chat_stream_asks_for_its_usage_whatever_its_client_asked(proxied):
    bodies = [{}, {"stream_options": {"include_usage": False}}, {"stream_options": None}]
    path = "/openai/v1/chat/completions"
    with ModelApi(CHUNKS) as api, proxied(api) as (proxy, client, _):
        for body in bodies:
            asked = {**CHAT, "stream": True, **body}
            client.post(path, json=asked, headers=shown(path, proxy.model.key))
        sent = [json.loads(request.body) for request in api.requests]
    assert [one["stream_options"] for one in sent] == [{"include_usage": True}] * 3


def test_ids_that_another_server_gives_twice_are_two_responses(proxied):
    path = "/compatible/v1/chat/completions"
    with ModelApi(CHUNKS) as api, proxied(api) as (proxy, client, _):
        for _ in range(2):
            client.post(path, json=CHAT, headers=shown(path, proxy.model.key))
    assert proxy.meter.total.total_tokens == 214


def test_a_stream_whose_first_part_does_not_tell_of_the_cache_is_not_counted_twice(proxied):
    first = {"responseId": "g-1", "usageMetadata": {"promptTokenCount": 100}}
    with ModelApi([first, PARTS[-1]]) as api, proxied(api) as (proxy, client, _):
        client.post(STREAM, json=CONTENT, headers=shown(STREAM, proxy.model.key))
    assert proxy.meter.total.total_tokens == 107


def test_a_response_without_usage_is_told(proxied):
    path = "/compatible/v1/chat/completions"
    with ModelApi({"id": "x"}) as api, proxied(api) as (proxy, client, _):
        client.post(path, json=CHAT, headers=shown(path, proxy.model.key))
    assert any("no usage" in line for line in proxy.drain_refusals())
    with ModelApi({}, status=429) as api, proxied(api) as (proxy, client, _):
        client.post(path, json=CHAT, headers=shown(path, proxy.model.key))
    assert proxy.drain_refusals() == []


@pytest.mark.parametrize(
    "line",
    [
        *("POST /openai/v1/batches", "POST /openai/v1/files", "GET /openai/v1/responses/resp_1"),
        *("POST /openai/v1/responses/../files", "POST /openai/v1/responses?x=1", "GET /openai"),
        *("GET /openai/v1/models/../files", "POST /v1/responses", "POST /openai/responses"),
        *("POST /gemini/v1beta/files", "POST /gemini/v1beta/models/m:batchGenerateContent"),
        *(f"POST {GENERATE}?key=another", f"POST {GENERATE}?$httpMethod=GET"),
        "POST /gemini/v1beta/cachedContents",
    ],
)
def test_other_paths_and_parameters_go_nowhere(proxied, line):
    method, _, path = line.partition(" ")
    with ModelApi({}) as api, proxied(api) as (proxy, client, _):
        answer = client.request(method, path, json={}, headers=shown(path, proxy.model.key))
        assert answer.status_code == 403
        assert api.requests == []


@pytest.mark.parametrize("path", ["/openai/v1/responses", GENERATE])
def test_another_account_s_key_goes_nowhere(proxied, path):
    with ModelApi(RESPONSE) as api, proxied(api) as (proxy, client, _):
        key = proxy.model.key
        for headers in (
            {},
            {"x-api-key": key},
            shown(path, "another"),
            shown(path, key) | {"x-api-key": "another"},
            shown(path, key) | {"api-key": "another"},
        ):
            assert client.post(path, json=PLAIN, headers=headers).status_code == 403
        assert api.requests == []
        hidden = {"cookie": "account=another", "x-http-method-override": "GET"}
        client.post(path, json=PLAIN, headers=shown(path, key) | hidden)
        [request] = api.requests
        assert not hidden.keys() & request.headers.keys()


IMAGE = {"type": "input_image", "image_url": "https://elsewhere.example/?it"}
FETCHING = {
    "a search": {"tools": [{"type": "web_search"}]},
    "a server of tools": {"tools": [{"type": "mcp", "server_url": "https://e.example"}]},
    "a tool in a namespace": {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]},
    "a tool in the input": {"input": [{"type": "x", "tools": [{"type": "code_interpreter"}]}]},
    "tools in another form": {"tools": {"type": "web_search"}},
    "an image": {"input": [{"role": "user", "content": [IMAGE]}]},
    "a file": {"input": [{"content": [{"type": "input_file", "file_url": "https://e.example"}]}]},
    "an image of a chat": {"messages": [{"content": [{"image_url": {"url": "http://e.example"}}]}]},
    "a model that searches": {"model": "gpt-4o-search-preview"},
    "a stored prompt": {"prompt": {"id": "p"}},
    "a plug-in of a gateway": {"plugins": [{"id": "web"}]},
    "the background": {"background": True},
}
GEMINI_FETCHING = {
    "a search": {"tools": [{"googleSearch": {}}]},
    "a search in the other spelling": {"tools": [{"google_search": {}}]},
    "one tool": {"tools": {"urlContext": {}}},
    "a run": {"tools": [{"functionDeclarations": [], "codeExecution": {}}]},
    "a file": {"contents": [{"parts": [{"fileData": {"fileUri": "https://e.example"}}]}]},
    "a stored cache": {"cachedContent": "cachedContents/x"},
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/openai/v1/responses", PLAIN | body) for body in FETCHING.values()),
        *(("/compatible/v1/chat/completions", CHAT | body) for body in FETCHING.values()),
        *((GENERATE, CONTENT | body) for body in GEMINI_FETCHING.values()),
    ],
)
def test_what_the_provider_would_fetch_for_an_agent_is_refused(proxied, path, body):
    with ModelApi(RESPONSE) as api, proxied(api) as (proxy, client, _):
        answer = client.post(path, json=body, headers=shown(path, proxy.model.key))
        assert answer.status_code == 403
        assert "Egress proxy" in answer.json()["error"]["message"]
        assert api.requests == []


@pytest.mark.parametrize("path", ["/openai/v1/responses", GENERATE])
def test_an_operator_may_allow_it_and_what_an_agent_runs_itself_needs_no_leave(proxied, path):
    schema = {"properties": {"image_url": {"const": "x"}, "tools": [1]}, "image_url": "http://e"}
    if path == GENERATE:
        own = {"tools": [{"functionDeclarations": [{"name": "t", "parameters": schema}]}]}
        fetching = GEMINI_FETCHING["a search"]
    else:
        own = {
            "tools": [{"type": "function", "parameters": schema}],
            "input": [{"content": [{"image_url": "data:image/png;base64,AA=="}]}],
        }
        fetching = FETCHING["a search"]
    allowing = {"ORCHESTRATOR_EGRESS_MODEL_FETCHES": "true"}
    with ModelApi(RESPONSE) as api:
        for environ, body in (({}, own), (allowing, fetching)):
            with proxied(api, **environ) as (proxy, client, _):
                sent = client.post(path, json=body, headers=shown(path, proxy.model.key))
                assert sent.status_code == 200
