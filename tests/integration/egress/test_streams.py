"""Each event passes as it comes; a cut ends an answer at both ends."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from orchestrator.host.cancel_scope import CancelScope, working_in
from tests.integration.egress.conftest import dial, say
from tests.integration.egress.drip import STARTED, Drip, ask, begin_stream
from tests.processes import eventually


@pytest.fixture
def drip():
    made = Drip()
    yield made
    made.close()


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
