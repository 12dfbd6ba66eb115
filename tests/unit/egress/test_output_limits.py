"""The limit of output of a request, by each name that a provider reads, and how it is lowered."""

from __future__ import annotations

import pytest

from orchestrator.egress.proxies import PROVIDERS
from orchestrator.interfaces.provider import LimitsOutput, Refused
from orchestrator.settings import load_settings
from tests.contracts.test_providers import SET


def provider(name: str) -> LimitsOutput:
    found = PROVIDERS.build(name, load_settings(SET))
    assert isinstance(found, LimitsOutput)
    return found


@pytest.mark.parametrize("name", PROVIDERS.names())
def test_every_included_provider_limits_output(name):
    limited = provider(name).with_output({"messages": [], "model": "m"}, 77)
    assert provider(name).output_asked(limited).tokens == 77
    assert provider(name).output_asked({}).answers == 1


@pytest.mark.parametrize(
    ("name", "body", "asked"),
    [
        ("anthropic", {"max_tokens": 500}, (500, 1)),
        ("anthropic", {"max_tokens": 5.0}, (5, 1)),
        ("openai", {"max_output_tokens": 500}, (500, 1)),
        ("openai", {"max_tokens": 5, "max_completion_tokens": 900, "n": 3}, (900, 3)),
        ("openai", {"max_tokens": None, "max_completion_tokens": 9}, (9, 1)),
        ("compatible", {"max_tokens": 5, "n": 2, "best_of": 4}, (5, 4)),
        ("gemini", {"generationConfig": {"maxOutputTokens": "500"}}, (500, 1)),
        (
            "gemini",
            {"generation_config": {"max_output_tokens": 5, "candidate_count": "3"}},
            (5, 3),
        ),
        ("gemini", {"generationConfig": None}, (None, 1)),
        # What is no limit counts as none: the largest output is reserved.
        *(
            ("openai", {"max_tokens": 5, "max_completion_tokens": bad}, (None, 1))
            for bad in ("9", True, -1, 0, 0.5, 1e308, float("nan"), [])
        ),
    ],
)
def test_the_limit_of_a_request_is_read(name, body, asked):
    found = provider(name).output_asked(body)
    assert (found.tokens, found.answers) == asked


@pytest.mark.parametrize(
    ("name", "body"),
    [
        *(("openai", {"n": bad}) for bad in (0, -1, "3", 1.5, True, 1e308, 1001, [])),
        ("gemini", {"generationConfig": {"candidateCount": "x"}}),
        ("gemini", {"generationConfig": [1]}),
        ("gemini", {"generationConfig": {}, "generation_config": {"maxOutputTokens": 9}}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}}),
        ("gemini", {"generationConfig": {"candidateCount": 1, "candidate_count": 9}}),
    ],
)
def test_what_a_provider_could_read_in_two_ways_is_refused(name, body):
    with pytest.raises(Refused):
        provider(name).output_asked(body)


@pytest.mark.parametrize(
    ("name", "body", "limited"),
    [
        ("openai", {"input": "x"}, {"max_output_tokens": 77}),
        ("openai", {"messages": []}, {"max_completion_tokens": 77}),
        ("compatible", {"messages": []}, {"max_tokens": 77}),
        (
            "openai",
            {"max_tokens": 5, "max_completion_tokens": 900},
            {"max_tokens": 77, "max_completion_tokens": 77},
        ),
        (
            "gemini",
            {"generation_config": {"max_output_tokens": "9", "topK": 1}},
            {"generation_config": {"max_output_tokens": 77, "topK": 1}},
        ),
        ("gemini", {"contents": []}, {"generationConfig": {"maxOutputTokens": 77}}),
    ],
)
def test_a_limit_is_written_by_each_name_that_the_request_has(name, body, limited):
    assert provider(name).with_output(body, 77) == {**body, **limited}


@pytest.mark.parametrize(
    ("most", "thinking"),
    [
        (9_000, {"type": "enabled", "budget_tokens": 8_000}),
        (2_000, {"type": "enabled", "budget_tokens": 1_999}),
        (1_024, {"type": "disabled"}),
    ],
)
def test_thinking_of_anthropic_stays_below_the_limit(most, thinking):
    body = {"max_tokens": 32_000, "thinking": {"type": "enabled", "budget_tokens": 8_000}}
    limited = provider("anthropic").with_output(body, most)
    assert limited == {"max_tokens": most, "thinking": thinking}
