"""What every provider of models keeps, whichever file or package brings it."""

from __future__ import annotations

import importlib

import pytest

from orchestrator.egress.proxies import PROVIDERS
from orchestrator.interfaces.provider import Refused
from orchestrator.settings import load_settings

SET = {
    "CLAUDE_API_KEY": "key-of-claude",
    "OPENAI_API_KEY": "key-of-openai",
    "GEMINI_API_KEY": "key-of-gemini",
    "OPENAI_COMPATIBLE_BASE_URL": "https://gateway.example/v1",
    "OPENAI_COMPATIBLE_API_KEY": "key-of-gateway",
}
GENERATING = (
    *("/v1/messages", "/responses", "/chat/completions"),
    *("/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent"),
)
VALUES = (None, [], {}, "x", -1, True, 1e308, {"id": 1}, {"usage": {"input_tokens": "7"}})


@pytest.fixture(params=PROVIDERS.names())
def provider(request):
    return PROVIDERS.build(request.param, load_settings(SET))


def test_without_a_key_or_an_address_there_is_no_provider():
    assert [PROVIDERS.build(name, load_settings({})) for name in PROVIDERS.names()] == [
        None for _ in PROVIDERS.names()
    ]


def test_it_says_what_it_is(provider):
    assert importlib.import_module(type(provider).__module__).__doc__
    assert type(provider).__doc__


def test_its_prefix_is_its_own_and_its_key_is_a_secret_of_the_settings(provider):
    settings = load_settings(SET)
    built = [PROVIDERS.build(name, settings) for name in PROVIDERS.names()]
    assert len({one.prefix for one in built}) == len(built)
    assert provider.prefix == "" or provider.prefix.startswith("/")
    assert provider.endpoint.key.get_secret_value() in settings.secrets
    assert provider.endpoint.key.get_secret_value() not in repr(provider.endpoint)


def test_its_programs_are_told_an_address_and_a_placeholder(provider):
    given = provider.environment("http://127.0.0.1:8118", "placeholder")
    assert sorted(given.values()) == ["http://127.0.0.1:8118", "placeholder"]


def test_it_meters_what_it_lets_generate(provider):
    """And lets no path out of its own, whatever a path has in it."""
    allowed = [path for path in GENERATING if provider.allows(b"POST " + path.encode())]
    assert allowed
    assert all(provider.usage_reader(path.encode()) is not None for path in allowed)
    for path in allowed:
        for wrong in (f"{path}/../x", f"{path}/", f"/{path}", f"{path}#", f"{path}%2e", f"x{path}"):
            assert not provider.allows(f"POST {wrong}".encode())
        assert not provider.allows(f"DELETE {path}".encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": 1, "a": 2}', b'{"a":' + b"[" * 100_000])
def test_a_body_that_has_no_one_reading_is_refused(provider, body):
    path = next(path for path in GENERATING if provider.allows(b"POST " + path.encode()))
    with pytest.raises(Refused):
        provider.checked(path.encode(), body, may_fetch=False)


def test_no_part_of_a_response_is_an_error(provider):
    path = next(path for path in GENERATING if provider.allows(b"POST " + path.encode()))
    for value in VALUES:
        reader = provider.usage_reader(path.encode())
        for name in ("usage", "message", "response", "usageMetadata", "id", "responseId"):
            for _, tokens in reader.read({"type": "message", "id": "m", name: value}):
                assert tokens.usage.input_tokens >= 0
