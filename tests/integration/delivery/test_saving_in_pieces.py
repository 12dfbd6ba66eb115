"""The save of a large change: unchanged work is not sent, and a kill does not wait for the rest."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Self, cast

import redis

from orchestrator.errors import ObjectDamaged
from orchestrator.models import Status
from orchestrator.models.killing import KillScope
from orchestrator.store import changes, keys, kills
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.store.objects import PIECE_BYTES
from orchestrator.store.operations import Operation, command
from orchestrator.wiring import kill_switch
from tests.integration.conftest import git
from tests.processes import eventually

#: More than ten pieces, which nothing compresses.
LARGE = {"run": f"head -c {12 * PIECE_BYTES} /dev/urandom > large.bin"}
#: MONITOR shows a byte as up to four characters.
MONITORED = 4 * PIECE_BYTES + 16_384


class Monitored:
    """Sees every command that Valkey runs, those of scripts too."""

    def __init__(self, url: str) -> None:
        self.commands: list[str] = []
        self._end = "the test is over"
        self._client = redis.Redis.from_url(url)
        self._monitor = self._client.monitor()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.echo(self._end)
        self._thread.join()
        self._monitor.__exit__(None, None, None)
        self._client.close()

    def _read(self) -> None:
        for found in self._monitor.listen():
            if self._end in found["command"]:
                return
            self.commands.append(found["command"])

    def pieces(self) -> int:
        """Return how many pieces were written."""
        return sum(one.startswith("HSET orchestrator:object:") for one in self.commands)

    def named(self) -> int:
        """Return how often a change was named."""
        return sum(one.startswith("SET orchestrator:change:") for one in self.commands)


def test_a_checkpoint_of_the_same_work_sends_no_piece(lab, remote, valkey_url):
    """Also in another second: the commits of a capture have the dates of their agent."""
    one = lab(ORCHESTRATOR_CHECKPOINT="400ms")
    agent_id = one.spawn(remote, {"run": f"{LARGE['run']}; exec sleep 600"})
    worker = threading.Thread(target=one.work, args=(agent_id,))
    with Monitored(valkey_url) as seen:
        worker.start()
        try:
            eventually(seen.named)
            sent, before = seen.pieces(), seen.named()
            stored = one.store.run(_record(agent_id))
            eventually(lambda: seen.named() > before + 4)
            assert one.store.run(_record(agent_id)) == stored
            assert seen.pieces() == sent > 10
        finally:
            one.services.runner.holder.stop()
            worker.join()
    assert max(map(len, seen.commands)) <= MONITORED


def _record(agent_id: str) -> Operation[bytes]:
    return command("GET", keys.change(agent_id, 1), decode=bytes)


def test_no_command_of_a_whole_run_carries_more_than_a_piece(lab, remote, valkey_url):
    one = lab()
    with Monitored(valkey_url) as seen:
        agent = one.play(remote, LARGE, {"say": "x" * 10_000})
        assert agent.status is Status.COMPLETED, agent.error
        assert git("cat-file", "-s", f"{agent.commit}:large.bin", cwd=remote) == str(
            12 * PIECE_BYTES
        )
    assert seen.pieces() > 10
    assert max(map(len, seen.commands)) <= MONITORED


class KillingStore:
    """The real store; the agent is killed when the third piece of its change is sent."""

    def __init__(self, one: Any) -> None:
        self._lab, self._store = one, one.store
        self.agent_id = ""
        self.pieces = 0
        #: Whether the kill was confirmed, when each piece after it was sent.
        self.confirmed: list[bool] = []

    def run(self, operation: Any) -> Any:
        """Run."""
        if operation.script is not None and operation.script.name == "put_piece":
            self.pieces += 1
            if self.pieces == 3:
                order = KillOrder("ann", "it loops")
                switch = kill_switch(self._lab.settings)
                self._store.follow(switch.kill_all(KillScope(), order, timeout_s=0.01))
                lease = self._lab.services.runner.holder.held[self.agent_id]
                eventually(lambda: lease.is_killed)
            if self.pieces > 3:
                receipt = self._store.run(kills.find_receipt(self.agent_id))
                self.confirmed.append(receipt.confirmed)
        return self._store.run(operation)

    def follow(self, flow: Any, *, check: Any = lambda: None) -> Any:
        """Run a flow, each operation by this."""
        return Store.follow(cast("Store", self), flow, check=check)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_kill_in_the_middle_of_a_save_is_confirmed_before_the_rest_is_sent(lab, remote):
    one = lab()
    runner = one.services.runner
    store = KillingStore(one)
    holder = replace(runner.holder, store=store)
    runner = replace(
        runner,
        holder=holder,
        capture=replace(runner.capture, holder=holder),
        work_saver=replace(runner.work_saver, store=store),
    )
    agent_id = store.agent_id = one.spawn(remote, LARGE)
    runner.run(agent_id)
    assert one.state(agent_id).status is Status.KILLED
    # The rest is sent after that, and only the rest: each piece once.
    assert store.confirmed
    assert all(store.confirmed)
    receipt = one.store.run(kills.read_receipt(agent_id))
    bundle = one.store.follow(changes.get_change(agent_id, 1))
    assert receipt.saved_bytes == len(bundle) > 12 * PIECE_BYTES


def test_a_damaged_change_fails_its_agent_with_one_clear_error(lab, remote, valkey_url):
    one = lab()
    agent_id = one.spawn(remote, LARGE)
    one.work(agent_id)
    with redis.Redis.from_url(valkey_url) as client:
        (stored,) = client.keys("orchestrator:object:*")
        client.hset(stored, 4, b"x" * PIECE_BYTES)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, ObjectDamaged.code)
    assert keys.change(agent_id, 1) in agent.error
    assert one.play(remote, LARGE).status is Status.COMPLETED
