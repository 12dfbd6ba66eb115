"""A prompt has at most as many tokens as its bytes, or as what a provider counted of it."""

from __future__ import annotations

import json

from orchestrator.egress.prompt_bound import (
    ADDED_TOKENS,
    MOST_TOKENS,
    Fingerprint,
    PromptBounds,
    bound_by_size,
)

TOOLS = [{"name": f"tool-{number}", "description": "x" * 400} for number in range(50)]


def body_of(*texts: str, **fields: object) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": "m", "messages": messages, "tools": TOOLS, **fields}).encode()


def bound(bounds: PromptBounds, body: bytes, key: str = "m") -> int:
    by_size = bound_by_size(len(body), json.loads(body))
    return bounds.bound(Fingerprint.of(key, body), by_size) - ADDED_TOKENS


def test_each_byte_is_a_token_until_the_provider_has_counted():
    bounds, first = PromptBounds(), body_of("a" * 40_000)
    assert bound(bounds, first) == len(first)
    bounds.record(Fingerprint.of("m", first), 9_000)
    assert bound(bounds, first) == 9_000
    # The conversation continues: its begin and, after the new text, its tools are known.
    second = body_of("a" * 40_000, "b" * 3_000)
    assert 9_000 + 3_000 < bound(bounds, second) < 9_000 + 3_000 + 1_200
    assert bound(bounds, second, key="another model") == len(second)


def test_a_count_of_a_light_prompt_is_none_of_a_dense_one_as_long():
    bounds, light = PromptBounds(), body_of(" " * 40_000)
    bounds.record(Fingerprint.of("m", light), 300)
    dense = body_of("漢" * 6_000)
    assert bound(bounds, dense) >= 36_000


def test_begin_and_end_of_an_earlier_prompt_are_counted_once_each():
    """A repeated part that an earlier prompt had only once is new."""
    bounds, once = PromptBounds(), b'"' + b"ab" * 5_000 + b'"'
    twice = b'"' + b"ab" * 10_000 + b'"'
    bounds.record(Fingerprint.of("m", once), 100)
    found = bounds.bound(Fingerprint.of("m", twice), len(twice)) - ADDED_TOKENS
    assert found >= 100 + len(twice) - len(once)


def test_an_image_is_counted_as_one_and_a_text_that_looks_like_one_as_text():
    data = "A" * 3_000_000
    source = {"type": "base64", "media_type": "image/png", "data": data}
    image = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data}}
    inline = {"inlineData": {"mimeType": "application/pdf", "data": data}}
    bounds = PromptBounds()
    assert 50_000 < bound(bounds, json.dumps({"messages": image}).encode()) < 51_000
    assert 50_000 < bound(bounds, json.dumps({"messages": [url]}).encode()) < 51_000
    assert 500_000 < bound(bounds, json.dumps({"contents": [inline]}).encode()) < 501_000
    small = {**source, "data": "A" * 100}
    assert 5_000 < bound(bounds, json.dumps([{"source": small}, {}]).encode()) < 5_200
    for place in ("input", "arguments", "args", "response"):
        call = json.dumps({"messages": [{place: source}]}).encode()
        assert bound(bounds, call) == MOST_TOKENS - ADDED_TOKENS


def test_only_some_prompts_are_remembered_and_none_that_is_huge():
    bounds = PromptBounds()
    bodies = [body_of(str(number) * 5_000) for number in range(20)]
    for body in bodies:
        bounds.record(Fingerprint.of("m", body), 10)
    assert bound(bounds, bodies[-1]) == 10
    assert bound(bounds, bodies[0]) > 1_000
    assert len(bounds._counted) == 8
    huge = Fingerprint.of("m", b"x" * (4 * 2**20 + 1))
    bounds.record(huge, 10)
    assert bounds.bound(huge, huge.size) == MOST_TOKENS
