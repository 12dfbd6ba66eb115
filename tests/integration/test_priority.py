"""Ten priorities, in random order, over three pools: nobody waits behind who is less urgent."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import ExitStack

from orchestrator.control.submit import SubmitService
from orchestrator.errors import LeaseLost
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.models import Pause
from orchestrator.store import agents, keys, queues, workers
from orchestrator.store.events import read_events
from orchestrator.store.operations import command
from orchestrator.wiring import clock, new_id
from tests.pools import pool_worker
from tests.processes import eventually

AGENTS = 80
WORKERS = 3


def test_no_worker_takes_one_that_is_less_urgent_first(store, valkey_url, tmp_path):
    """All wait before the first worker starts: what one takes can only become less urgent."""
    chance = random.Random(5)
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    holder = AgentLeases(store, clock, new_id, worker="lost@here", process="1:1", lease_s=30)
    priorities = {}
    for number in range(AGENTS):
        priority = chance.randint(1, 10)
        body = {
            "taskId": f"t-{number}",
            "agentType": "worker",
            "priority": priority,
            "maxRetries": 1,
            # It ends at once: there is no such repository.
            "context": {
                "repository": str(tmp_path / "none.git"), "branch": "main", "workItems": ["x"],
            },
        }  # fmt: skip
        priorities[store.run(door.submit(body)).agent_id] = priority
    # Every fourth has lost a worker, waited for its time, and is queued again with the others.
    for agent_id in list(priorities)[::4]:
        holder.recover(holder.claim(agent_id), LeaseLost())
    for agent_id in list(priorities)[::4]:
        store.run(command("ZADD", keys.DELAYED, "XX", 1, agent_id, decode=int))
    Rescuer(holder, 3600).sweep()

    # A worker that starts last would find nothing left.
    store.run(queues.set_pause("spawn", Pause(by="test", why="start together", at=clock())))
    with ExitStack() as pools:
        for number in range(WORKERS):
            pools.enter_context(pool_worker(tmp_path, valkey_url, "spawn", name=f"spawn{number}"))
        eventually(lambda: len(store.run(workers.present(now=clock()))) == WORKERS)
        store.run(queues.lift_pause("spawn"))
        eventually(lambda: len(ended(store)) == AGENTS)
    # A worker has one slot: it ends its agents in the order in which it took them.
    taken = defaultdict(list)
    for agent_id in ended(store):
        taken[store.run(agents.read(agent_id)).worker].append(priorities[agent_id])
    assert len(taken) == WORKERS
    for order in taken.values():
        assert order == sorted(order, reverse=True)


def ended(store) -> list[str]:
    events = store.run(read_events(after="0-0", count=10_000))
    return [entry.event.agent_id for entry in events if entry.event.type == "agent.failed"]
