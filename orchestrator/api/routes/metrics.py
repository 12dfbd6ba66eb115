"""The metrics for Prometheus: gauges of the current state, and counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.http.endpoint import Endpoint, store_of
from orchestrator.messages import QUEUES
from orchestrator.models import QueueState, Status
from orchestrator.queries.metrics import (
    KILL,
    KILL_BUCKETS_S,
    SEPARATOR,
    SPAWN,
    SPAWN_BUCKETS_S,
    counters,
)
from orchestrator.queries.queues import overview, waiting_for_resources
from orchestrator.store import agent_index, halt, kills, server, sweeps
from orchestrator.store import workers as pool_workers
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.transition import now_ms

_TEXT = "text/plain"
_COUNTERS: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "ended": ("orchestrator_agents_ended", "Agents that have ended.", ("status", "code")),
    "tokens": ("orchestrator_tokens", "Tokens of ended agents.", ("kind",)),
    "cost_usd": ("orchestrator_cost_usd", "Cost of ended agents in dollars.", ()),
    "gates": ("orchestrator_gate_results", "Results of gates.", ("gate", "status")),
    "recoveries": ("orchestrator_recoveries", "Lost attempts that were recovered.", ()),
    "stalls": ("orchestrator_stalls", "Agents that stalled.", ()),
}


class _Collected:
    """The metrics of one scrape, as a collector of prometheus-client."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def metrics(request: Request) -> Response:
    """Return all metrics of the system; every API process returns the same."""
    store = store_of(request)
    registry = CollectorRegistry(auto_describe=False)
    counted = await store.follow(counters())
    now = await store.run(server.now())
    queues = await store.follow(overview(now))
    families = [
        *await _now(store, now),
        *await _of_hosts(store, now),
        *_of_queues(queues),
        *_counted(counted),
        _histogram(counted, SPAWN, SPAWN_BUCKETS_S, "From spawn to a running agent."),
        _histogram(counted, KILL, KILL_BUCKETS_S, "From a kill to its confirmation."),
    ]
    registry.register(_Collected(families))
    return Response(generate_latest(registry), media_type=f"{_TEXT}; version=0.0.4; charset=utf-8")


async def _of_hosts(store: AsyncStore, now: datetime) -> list[Metric]:
    """Return the age of the last sweeps, the clocks of live workers, and what hosts lack."""
    swept = GaugeMetricFamily(
        "orchestrator_sweep_age_seconds", "Time since the last sweep of an origin.", labels=["by"]
    )
    for by, at_ms in (await store.run(sweeps.last_ms())).items():
        swept.add_metric([by], abs(now_ms(now) - at_ms) / 1000)
    skew = GaugeMetricFamily(
        "orchestrator_clock_skew_seconds", "Worker clocks ahead of Valkey's.", labels=["worker"]
    )
    present = await store.run(pool_workers.present(now=now))
    for worker, skew_s in (await store.follow(pool_workers.skews(present))).items():
        skew.add_metric([worker], skew_s)
    short = GaugeMetricFamily(
        "orchestrator_worker_short", "1 while a worker's host lacks space.", labels=["worker"]
    )
    lacking = await store.run(pool_workers.shortages(present))
    for worker in present:
        short.add_metric([worker], worker in lacking)
    waiting = GaugeMetricFamily(
        "orchestrator_agents_waiting", "Agents that wait for a resource.", labels=["resource"]
    )
    for resource, count in ({"disk": 0} | await store.follow(waiting_for_resources())).items():
        waiting.add_metric([resource], count)
    return [swept, skew, short, waiting]


async def _now(store: AsyncStore, now: datetime) -> list[Metric]:
    agents = GaugeMetricFamily("orchestrator_agents", "Agents by state.", labels=["status"])
    for status in Status:
        count = await store.run(agent_index.count(status))
        agents.add_metric([status], count)
    present = await store.run(pool_workers.present(now=now))
    workers = GaugeMetricFamily("orchestrator_workers", "Live workers.", labels=["queue"])
    for queue in QUEUES:
        serving = sum(worker.partition("@")[0] == queue for worker in present)
        workers.add_metric([queue], serving)
    without_proof = await store.run(kills.unconfirmed())
    unconfirmed = len(without_proof)
    halted = await store.run(halt.find_halt()) is not None
    return [
        agents,
        workers,
        GaugeMetricFamily(
            "orchestrator_kills_unconfirmed", "Unconfirmed kills.", value=unconfirmed
        ),
        GaugeMetricFamily("orchestrator_halted", "1 while new work is halted.", value=halted),
    ]


def _of_queues(states: Sequence[QueueState]) -> Iterable[Metric]:
    reported = ("pending", "active", "delayed")
    messages = GaugeMetricFamily(
        "orchestrator_queue_messages", "Messages of each queue.", labels=["queue", "state"]
    )
    age = GaugeMetricFamily(
        "orchestrator_queue_oldest_age_seconds", "The longest wait in the queue.", labels=["queue"]
    )
    paused = GaugeMetricFamily(
        "orchestrator_queue_paused", "1 while a queue is paused.", labels=["queue"]
    )
    done = CounterMetricFamily(
        "orchestrator_queue_done", "Processed messages.", labels=["queue", "result"]
    )
    for state in states:
        for name in reported:
            messages.add_metric([state.name, name], getattr(state, name))
        age.add_metric([state.name], state.oldest_age_s or 0)
        paused.add_metric([state.name], state.is_paused)
        done.add_metric([state.name, "completed"], state.completed)
        done.add_metric([state.name, "failed"], state.failed)
    return [messages, age, paused, done]


def _counted(counted: Mapping[str, float]) -> Iterable[Metric]:
    for prefix, (name, text, labels) in _COUNTERS.items():
        family = CounterMetricFamily(name, text, labels=labels)
        if not labels:
            family.add_metric([], counted.get(prefix, 0))
        for field, value in counted.items():
            first, *values = field.split(SEPARATOR)
            if labels and first == prefix:
                family.add_metric(values, value)
        yield family


def _histogram(
    counted: Mapping[str, float], kind: str, bounds: Sequence[float], text: str
) -> Metric:
    counts = [counted.get(f"{kind}{SEPARATOR}{place}", 0) for place in range(len(bounds) + 1)]
    edges = (*map(str, bounds), "+Inf")
    buckets = list(zip(edges, accumulate(counts), strict=True))
    total = counted.get(f"{kind}{SEPARATOR}sum", 0)
    return HistogramMetricFamily(
        f"orchestrator_{kind}_seconds", text, buckets=buckets, sum_value=total
    )


ENDPOINTS = [
    Endpoint(*("GET", "/metrics", metrics, "Metrics for Prometheus"), answers={200: (_TEXT,)})
]
