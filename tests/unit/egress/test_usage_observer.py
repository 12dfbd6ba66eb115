"""What counts as public, what an answer says it cost, and which hosts a setting names."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from orchestrator.egress.addresses import is_public
from orchestrator.egress.providers.anthropic import MessagesUsage
from orchestrator.egress.usage_observer import DocumentReader, StreamReader, UsageObserver
from orchestrator.errors import SettingsInvalid
from orchestrator.gates.plan import make_plan
from orchestrator.models import GateProfile, Usage
from orchestrator.settings import load_settings


@pytest.mark.parametrize("address", ["1.1.1.1", "104.16.0.1", "2606:4700::1", "::ffff:1.1.1.1"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.2.1"),
        *("198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2001:db8::1"),
        *("64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "2001::1"),
        *("::127.0.0.1", "::10.0.0.1", "fec0::1", "2002:101:101::"),
    ],
)
def test_what_is_private_special_or_embedded_in_another_form_is_not(address):
    assert not is_public(ip_address(address))


@pytest.fixture
def heard():
    return []


@pytest.fixture
def observer(heard):
    return UsageObserver(lambda seen: heard.append((seen.message_id, seen.usage.output_tokens)))


def sse(*events: dict) -> bytes:
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def answer(message_id: str, output: int) -> bytes:
    begun = {"input_tokens": 10, "cache_read_input_tokens": None, "output_tokens": 1}
    return sse(
        {"type": "message_start", "message": {"id": message_id, "usage": begun}},
        {"type": "content_block_delta", "delta": {"text": 'a "usage" of words'}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": output}},
        {"type": "message_stop"},
    )


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_stream_is_counted_once_a_message_however_it_is_cut(observer, heard, piece):
    for message_id, output in (("m1", 40), ("m2", 5)):
        reader, said = StreamReader(observer, MessagesUsage()), answer(message_id, output)
        for start in range(0, len(said), piece):
            reader.feed(said[start : start + piece])
        reader.finish()
    assert observer.total == Usage(input_tokens=20, output_tokens=45, total_tokens=65)
    assert heard == [("m1", 1), ("m1", 40), ("m2", 1), ("m2", 5)]


def test_a_stream_that_is_cut_off_holds_what_it_had_said(observer):
    StreamReader(observer, MessagesUsage()).feed(
        answer("m1", 40).partition(b"event: message_delta")[0]
    )
    assert observer.total.total_tokens == 11


def test_an_answer_that_comes_whole_is_counted_and_a_count_of_tokens_is_not(observer):
    usage = {"input_tokens": 3, "output_tokens": 4, "cache_creation_input_tokens": 5}
    for document in (
        {"type": "message", "id": "m1", "usage": usage},
        {"input_tokens": 999},
        {"type": "error", "error": {}},
        {"type": "message", "usage": "none"},
        ["message"],
    ):
        reader = DocumentReader(observer, MessagesUsage())
        reader.feed(json.dumps(document).encode())
        reader.finish()
    assert observer.total == Usage(
        input_tokens=3, output_tokens=4, cache_write_tokens=5, total_tokens=12
    )


@pytest.mark.parametrize("wrong", [-1, True, "7", 10**12, 1e308, float("nan"), [], {}])
def test_one_wrong_count_of_an_answer_is_lost_alone(observer, wrong):
    usage = {"input_tokens": wrong, "output_tokens": 1}
    opened = {"type": "message_start", "message": {"id": "m1", "usage": usage}}
    closed = {"type": "message_delta", "usage": {"input_tokens": wrong, "output_tokens": 40}}
    reader = StreamReader(observer, MessagesUsage())
    reader.feed(sse(opened, closed))
    reader.finish()
    assert observer.total == Usage(output_tokens=40, total_tokens=40)


@pytest.mark.parametrize("usage", [None, 5, "none"])
def test_what_follows_an_opening_without_usage_is_its_own(observer, usage):
    """And not the message's before it."""
    reader = StreamReader(observer, MessagesUsage())
    reader.feed(answer("m1", 40))
    reader.feed(sse({"type": "message_start", "message": {"id": "m2", "usage": usage}}))
    reader.feed(sse({"type": "message_delta", "usage": {"output_tokens": 5}}))
    assert observer.total.output_tokens == 45


def test_one_message_more_or_less_is_no_disagreement(observer):
    for message_id in ("m1", "m2"):
        StreamReader(observer, MessagesUsage()).feed(answer(message_id, 40))
    assert not observer.differs(Usage(total_tokens=100))
    assert not observer.differs(Usage(total_tokens=50))
    assert observer.differs(Usage(total_tokens=49))
    assert observer.differs(Usage(total_tokens=151))


def test_hosts_are_names_with_a_port_which_is_443_where_none_is_given():
    hosts = "Example.org, files.example.org:8443 [2606:4700::1]:443"
    settings = load_settings({"ORCHESTRATOR_EGRESS_HOSTS": hosts})
    expected = ("example.org:443", "files.example.org:8443", "[2606:4700::1]:443")
    assert settings.egress_hosts == expected


@pytest.mark.parametrize(
    "entry", ["https://example.org", "*.example.org", "a:0", "a:b", "a/b", "a:443:1"]
)
def test_what_is_no_host_stops_the_start(entry):
    with pytest.raises(SettingsInvalid, match="ORCHESTRATOR_EGRESS_HOSTS"):
        load_settings({"ORCHESTRATOR_EGRESS_HOSTS": f"example.org {entry}"})


def test_programs_have_the_host_s_network_unless_asked_and_docker_s_never():
    assert not load_settings({}).has_egress_proxy
    assert load_settings({"SANDBOX_ENABLED": "true"}).has_egress_proxy
    assert load_settings({"ORCHESTRATOR_SANDBOX_NETWORK": "proxy"}).has_egress_proxy


def test_a_gate_asks_for_the_network_in_the_base_commit_and_that_is_another_plan():
    def plan(table):
        content = f"[gates]\ntests = {table}\n".encode()
        read = {"orchestrator.toml": content}.get
        return make_plan(
            GateProfile.MINIMAL, read, (), paths=frozenset({"orchestrator.toml"}), timeout_s=9
        )

    without, asking = plan('{command = "x"}'), plan('{command = "x", network = true}')
    assert [plan.gates[0].network for plan in (without, asking)] == [False, True]
    assert without.digest != asking.digest
