"""The id of a message: text that can be stored, and the same in both reports of the message."""

from __future__ import annotations

import json

import pytest

from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.backends._claude_events import read_event
from orchestrator.egress.providers.anthropic import MessagesUsage
from orchestrator.egress.usage_observer import DocumentReader, StreamReader, UsageObserver
from orchestrator.interfaces.agent import UsageReport

_USAGE = '"usage": {"input_tokens": 5, "output_tokens": 7}'
_DOCUMENT = f'{{"type": "message", "id": "\\ud83d", {_USAGE}}}'
_EVENT = f'data: {{"message": {{"id": "m\\udc00-\\ud83d", {_USAGE}}}}}\n'


@pytest.mark.parametrize(("reader", "text"), [(DocumentReader, _DOCUMENT), (StreamReader, _EVENT)])
def test_half_of_a_surrogate_pair_in_an_id_costs_no_usage(reader, text):
    seen = []
    observer = UsageObserver(lambda report: seen.append((report.message_id.encode(), report.usage)))
    one = reader(observer, MessagesUsage())
    one.feed(text.encode())
    one.finish()
    assert len(seen) == 1
    assert observer.total.total_tokens == 12


def test_the_agent_and_the_proxy_report_one_message_with_such_an_id_once():
    meter = UsageMeter()
    usage = {"input_tokens": 5, "output_tokens": 7}
    message = {"type": "message", "role": "assistant", "id": "\ud83d", "usage": usage}
    proxy = DocumentReader(UsageObserver(meter.add), MessagesUsage())
    proxy.feed(json.dumps(message).encode())
    proxy.finish()
    event = json.dumps({"type": "assistant", "message": {**message, "content": []}}).encode()
    (report,) = [one for one in read_event(event) if isinstance(one, UsageReport)]
    meter.add(report)
    assert (meter.messages, meter.total.total_tokens) == (1, 12)
