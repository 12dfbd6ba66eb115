"""Commands that wait together are sent together; each gets its own reply, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.store.batches import MOST, Batches


class Server:
    """Answers a batch when the test says so: each command with itself."""

    def __init__(self) -> None:
        self.has_two = asyncio.Event()
        self.batches: list[tuple[list[tuple[str, ...]], asyncio.Future[None]]] = []

    async def send(self, commands) -> list[object]:
        answered = asyncio.get_running_loop().create_future()
        self.batches.append((list(commands), answered))
        if len(self.batches) > 1:
            self.has_two.set()
        await answered
        return [command[0] for command in commands]

    @property
    def sizes(self) -> list[int]:
        return [len(commands) for commands, _ in self.batches]

    def answer(self, number: int, error: Exception | None = None) -> None:
        _, answered = self.batches[number]
        if error:
            answered.set_exception(error)
        else:
            answered.set_result(None)


async def settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def ask(batches: Batches, *names: str) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(batches.run((name,))) for name in names]


def test_commands_that_wait_for_a_reply_are_sent_as_one_batch():
    async def scenario() -> None:
        server = Server()
        batches = Batches(server.send)
        names = ["a", "b", "c", "d"]
        tasks = ask(batches, *names)
        await settled()
        assert server.sizes == [1]
        server.answer(0)
        await settled()
        assert server.sizes == [1, 3]
        server.answer(1)
        assert await asyncio.gather(*tasks) == names

    asyncio.run(scenario())


def test_a_reply_that_does_not_come_delays_others_for_a_moment_only():
    async def scenario() -> None:
        server = Server()
        batches = Batches(server.send)
        hanging, other = ask(batches, "a", "b")
        await server.has_two.wait()
        server.answer(1)
        assert await other == "b"
        assert not hanging.done()
        server.answer(0)
        assert await hanging == "a"

    asyncio.run(scenario())


def test_a_batch_has_a_bound_and_what_exceeds_it_goes_in_another():
    async def scenario() -> None:
        server = Server()
        batches = Batches(server.send)
        names = [str(number) for number in range(2 * MOST + 3)]
        tasks = ask(batches, *names)
        await settled()
        server.answer(0)
        await settled()
        assert sorted(server.sizes) == [1, 2, MOST, MOST]
        for number in range(1, 4):
            server.answer(number)
        assert await asyncio.gather(*tasks) == names

    asyncio.run(scenario())


def test_an_error_of_the_connection_reaches_all_of_its_batch_and_no_other():
    async def scenario() -> None:
        server = Server()
        batches = Batches(server.send)
        first, *others = ask(batches, "a", "b", "c")
        await settled()
        server.answer(0)
        await settled()
        server.answer(1, ConnectionError())
        assert await first == "a"
        found = await asyncio.gather(*others, return_exceptions=True)
        assert [type(one) for one in found] == [ConnectionError] * 2
        (later,) = ask(batches, "d")
        await settled()
        server.answer(2)
        assert await later == "d"

    asyncio.run(scenario())


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_caller_that_is_cancelled_takes_the_reply_from_nobody(at):
    async def scenario() -> None:
        server = Server()
        batches = Batches(server.send)
        tasks = ask(batches, "a", "b", "c")
        await settled()
        tasks[at].cancel()
        await settled()
        for number in range(2):
            if number < len(server.batches) and not server.batches[number][1].done():
                server.answer(number)
            await settled()
        others = [task for task in tasks if task is not tasks[at]]
        assert [task.result() for task in others] == [n for n in "abc" if n != "abc"[at]]

    asyncio.run(scenario())
