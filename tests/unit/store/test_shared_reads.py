"""Equal reads are joined, and no caller gets a reply to a read that was sent before it asked."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.store.shared_reads import SharedReads


class Server:
    """Answers each read when the test says so, with what stood there when the read was sent."""

    def __init__(self) -> None:
        self.value = "first"
        self.sent: list[asyncio.Future[str]] = []
        self.seen: list[str] = []

    async def read(self) -> str:
        reply = asyncio.get_running_loop().create_future()
        self.sent.append(reply)
        self.seen.append(self.value)
        await reply
        return self.seen[self.sent.index(reply)]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_those_who_ask_while_a_read_is_under_way_share_the_next_one():
    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        early = asyncio.create_task(reads.run("keys", server.read))
        await settled()
        server.value = "second"
        late = [asyncio.create_task(reads.run("keys", server.read)) for _ in range(10)]
        await settled()
        assert len(server.sent) == 1
        server.sent[0].set_result("")
        await settled()
        assert await early == "first"
        assert len(server.sent) == 2
        server.sent[1].set_result("")
        assert await asyncio.gather(*late) == ["second"] * 10

    asyncio.run(scenario())


def test_one_who_asks_after_a_read_was_sent_gets_a_later_one():
    """So a key that was revoked in between is refused."""

    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        tasks = []
        for turn in range(4):
            server.value = str(turn)
            tasks.append(asyncio.create_task(reads.run("keys", server.read)))
            await settled()
        while not all(task.done() for task in tasks):
            for reply in server.sent:
                if not reply.done():
                    reply.set_result("")
            await settled()
        # The first was sent at once; the others joined one that was sent after all of them.
        assert [task.result() for task in tasks] == ["0", "3", "3", "3"]

    asyncio.run(scenario())


def test_one_who_asks_after_a_shared_read_was_sent_gets_a_later_one():
    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        tasks = [asyncio.create_task(reads.run("keys", server.read)) for _ in range(3)]
        await settled()
        server.sent[0].set_result("")
        await settled()
        assert len(server.sent) == 2
        server.value = "revoked"
        late = asyncio.create_task(reads.run("keys", server.read))
        await settled()
        server.sent[1].set_result("")
        await settled()
        server.sent[2].set_result("")
        assert await late == "revoked"
        assert await asyncio.gather(*tasks) == ["first"] * 3

    asyncio.run(scenario())


def test_reads_of_another_kind_do_not_wait():
    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        tasks = [asyncio.create_task(reads.run(kind, server.read)) for kind in ("keys", "asked")]
        await settled()
        assert len(server.sent) == 2
        for reply in server.sent:
            reply.set_result("")
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_an_error_reaches_all_who_share_it_and_nobody_after_them():
    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        tasks = [asyncio.create_task(reads.run("keys", server.read)) for _ in range(3)]
        await settled()
        server.sent[0].set_exception(ConnectionError())
        await settled()
        server.sent[1].set_exception(ConnectionError())
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [ConnectionError] * 3
        following = asyncio.create_task(reads.run("keys", server.read))
        await settled()
        server.sent[2].set_result("")
        assert await following == "first"

    asyncio.run(scenario())


@pytest.mark.parametrize("at", [0, 1])
def test_a_caller_that_is_cancelled_takes_the_reply_from_nobody(at):
    """Neither the one whose read is under way, nor the first of those who wait for the next."""

    async def scenario() -> None:
        server, reads = Server(), SharedReads()
        tasks = [asyncio.create_task(reads.run("keys", server.read)) for _ in range(3)]
        await settled()
        tasks[at].cancel()
        await settled()
        for _ in range(2):
            for reply in server.sent:
                if not reply.done():
                    reply.set_result("")
            await settled()
        others = [task for task in tasks if task is not tasks[at]]
        assert [task.result() for task in others] == ["first", "first"]

    asyncio.run(scenario())
