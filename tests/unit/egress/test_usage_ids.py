"""The id of a message is text that every later program can write."""

from __future__ import annotations

import pytest

from orchestrator.egress.usage_observer import DocumentReader, StreamReader, UsageObserver

_USAGE = '"usage": {"input_tokens": 5, "output_tokens": 7}'
_DOCUMENT = f'{{"type": "message", "id": "\\ud83d", {_USAGE}}}'
_EVENT = f'data: {{"message": {{"id": "m\\udc00-\\ud83d", {_USAGE}}}}}\n'


@pytest.mark.parametrize(("reader", "text"), [(DocumentReader, _DOCUMENT), (StreamReader, _EVENT)])
def test_half_of_a_surrogate_pair_in_an_id_costs_no_usage(reader, text):
    seen = []
    observer = UsageObserver(lambda message_id, usage: seen.append((message_id.encode(), usage)))
    one = reader(observer)
    one.feed(text.encode())
    one.finish()
    assert len(seen) == 1
    assert observer.total.total_tokens == 12
