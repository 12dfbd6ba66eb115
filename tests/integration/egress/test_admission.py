"""Each request of a model is admitted before it is sent, with the output that it got."""

from __future__ import annotations

import json
from contextlib import contextmanager

import httpx
import pytest

from orchestrator.errors import StoreUnreachable
from orchestrator.store.model_requests import Admission, TokenNeed
from tests.doubles.greedy_models import GreedyModels
from tests.integration.egress.conftest import client_of, say

ASKED = {"model": "m", "max_tokens": 10**9, "messages": [{"role": "user", "content": "x" * 400}]}


class Limits:
    """Limits that a test answers for."""

    def __init__(self, *answers: Admission | Exception) -> None:
        self.answers, self.needs, self.finished = list(answers), [], []

    def admit(self, request: str, need: TokenNeed) -> Admission:
        assert request == "1"
        self.needs.append(need)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def finish(self, request: str) -> None:
        self.finished.append(request)


@pytest.fixture
def asking(opened):
    """Send one request through a proxy with these limits."""

    @contextmanager
    def ask(*answers, body=ASKED, path="/v1/messages", environ=None):
        limits = Limits(*answers)
        with GreedyModels() as models:
            settings = {
                "OPENAI_API_KEY": "sk-double", "OPENAI_BASE_URL": models.url, **(environ or {})
            }  # fmt: skip
            with (
                opened(models.url, environ=settings, limits=limits) as proxy,
                client_of(proxy) as client,
            ):
                keys = {"x-api-key": proxy.model.key}
                if "openai" in path:
                    keys = {"authorization": f"Bearer {proxy.model.key}"}
                yield client.post(path, content=json.dumps(body), headers=keys), limits, models

    return ask


def admitted(tokens: int) -> Admission:
    return Admission("admitted", output_tokens=tokens)


def test_what_fits_is_forwarded_as_it_is(asking):
    body = {**ASKED, "max_tokens": 300}
    with asking(admitted(300), body=body) as (answer, limits, models):
        assert answer.status_code == 200
        assert models.requests == [body]
        (need,) = limits.needs
        assert (need.output_tokens, need.answers, need.worth_tokens) == (300, 1, 300)
        assert 1024 + 400 < need.prompt_tokens < 1024 + 600
    assert limits.finished == ["1"]


def test_a_request_waits_until_it_is_admitted_and_has_the_limit_that_it_got(asking):
    wait = Admission("wait", reason="Others hold the rest.")
    with asking(wait, wait, admitted(70)) as (answer, limits, models):
        assert answer.status_code == 200
        assert [request["max_tokens"] for request in models.requests] == [70]
        assert {need.output_tokens for need in limits.needs} == {131_072}


def test_a_request_without_a_limit_gets_one_that_every_model_accepts(asking):
    body, path = {"model": "m", "input": "x"}, "/openai/v1/responses"
    with asking(admitted(100_000), admitted(8_192), body=body, path=path) as (_, limits, models):
        assert models.requests == [{**body, "max_output_tokens": 8_192}]
        assert [need.output_tokens for need in limits.needs] == [131_072, 8_192]
    with asking(admitted(100_000), admitted(5_000), body=body, path=path) as (_, limits, models):
        assert models.requests == [{**body, "max_output_tokens": 5_000}]
    with asking(admitted(131_072), body=body, path=path) as (_, limits, models):
        assert models.requests == [body]
    with asking(admitted(500), body=body, path=path) as (_, limits, models):
        assert models.requests == [{**body, "max_output_tokens": 500}]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Admission("refused", reason="Nothing is left."), httpx.codes.FORBIDDEN),
        (Admission("ended", reason="It has ended."), httpx.codes.FORBIDDEN),
        (StoreUnreachable("away"), httpx.codes.SERVICE_UNAVAILABLE),
    ],
)
def test_what_is_not_admitted_reaches_no_provider_and_says_why(asking, answer, status):
    with asking(answer) as (refused, limits, models):
        assert refused.status_code == status
        assert refused.json()["error"]["type"] == "permission_error"
        assert models.requests == []
        assert limits.finished == []


@pytest.mark.parametrize(
    "second", [Admission("ended", reason="It has ended."), StoreUnreachable("")]
)
def test_a_request_that_is_not_admitted_again_is_finished(asking, second):
    body, path = {"model": "m", "input": "x"}, "/openai/v1/responses"
    with asking(admitted(100_000), second, body=body, path=path) as (_, limits, models):
        assert models.requests == []
        assert limits.finished == ["1"]


def test_a_body_with_two_readings_is_refused_even_where_fetches_are_allowed(asking):
    environ = {"ORCHESTRATOR_EGRESS_MODEL_FETCHES": "true"}
    with asking(admitted(9), body=[ASKED], environ=environ) as (refused, limits, models):
        assert refused.status_code == httpx.codes.FORBIDDEN
        assert (models.requests, limits.needs) == ([], [])


def test_a_count_of_tokens_needs_none(asking):
    with asking(path="/v1/messages/count_tokens") as (_, limits, models):
        assert len(models.requests) == 1
        assert limits.needs == []


def test_an_address_that_is_too_long_to_forward_reserves_nothing(opened):
    """What is admitted and never sent would stay open until the end of its agent."""
    limits, body = Limits(admitted(9)), json.dumps(ASKED).encode()
    # The head is within the limit of heads; with the address of the provider it is too long.
    query = b"x" * (2**16 - 150)
    with opened("http://127.0.0.1:9/" + "y" * 200, limits=limits) as proxy:
        key = proxy.model.key.encode()
        head = b"POST /v1/messages?%b HTTP/1.1\r\nhost: m\r\nx-api-key: %b\r\n" % (query, key)
        answer = say(proxy, head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    assert answer.startswith(b"HTTP/1.1 414 ")
    assert (limits.needs, limits.finished) == ([], [])
