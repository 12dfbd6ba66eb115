"""Batched and shared operations on a real Valkey: own replies, own errors, unknown scripts."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import NotFound, RecordMalformed, StoreUnreachable
from orchestrator.store import agents, api_keys, keys
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import clock, new_id
from tests.integration.api.conftest import BODY


def submitting() -> SubmitService:
    return SubmitService("scripted", frozenset({"scripted"}), clock, new_id)


def test_each_of_a_batch_gets_its_own_reply_or_error(store, valkey_url):
    """Absent, malformed and of another type beside one that is there."""
    agent_id = store.run(submitting().submit(BODY)).agent_id
    store.run(command("SET", keys.agent("torn-1"), "{", decode=nothing))
    store.run(command("LPUSH", keys.agent("list-1"), "x", decode=nothing))

    async def scenario() -> list[object]:
        opened = AsyncStore(valkey_url)
        try:
            asked = [agent_id, "none-1", "torn-1", "list-1"] * 20
            reads = (opened.run(agents.read(name)) for name in asked)
            return await asyncio.gather(*reads, return_exceptions=True)
        finally:
            await opened.close()

    found = asyncio.run(scenario())
    assert [getattr(one, "agent_id", None) for one in found[::4]] == [agent_id] * 20
    expected = [NotFound, RecordMalformed, RecordMalformed] * 20
    assert [type(one) for at, one in enumerate(found) if at % 4] == expected


def test_a_batch_of_spawns_registers_each_once_where_valkey_does_not_know_the_script(
    store, valkey_url
):
    store.run(command("SCRIPT", "FLUSH", decode=nothing))

    async def scenario() -> list[str]:
        opened = AsyncStore(valkey_url)
        try:
            service = submitting()
            spawns = (opened.run(service.submit({**BODY, "taskId": f"t{n}"})) for n in range(30))
            return [one.agent_id for one in await asyncio.gather(*spawns)]
        finally:
            await opened.close()

    ids = asyncio.run(scenario())
    assert len(set(ids)) == 30
    registered = store.run(command("ZRANGE", keys.AGENTS, 0, -1, decode=list))
    assert sorted(name.decode() for name in registered) == sorted(ids)


def test_a_valkey_that_is_gone_is_one_clear_error_for_each(unused_port):
    async def scenario() -> list[object]:
        opened = AsyncStore(f"redis://127.0.0.1:{unused_port}/0")
        try:
            operations = [*(agents.read(f"agent-{n}") for n in range(3)), api_keys.was_given()]
            asked = (opened.run(one) for one in [*operations, *operations])
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await opened.close()

    assert [type(one) for one in asyncio.run(scenario())] == [StoreUnreachable] * 8


@pytest.mark.parametrize("kind", ["EXISTS", "HVALS"])
def test_what_is_shared_is_a_read_without_arguments_of_its_caller(kind):
    """All callers get one reply, so nothing of one caller may be in the question."""
    operation = {"EXISTS": api_keys.was_given, "HVALS": api_keys.stored_keys}[kind]()
    assert operation.is_shared
    assert operation.arguments[0] == kind
    assert set(operation.arguments[1:]) <= {keys.KEYS, keys.KEYS_ASKED}
