"""The metrics: counters and histograms in Valkey that count each event exactly once.

A request for metrics aggregates the new events of the event stream and of the stream of confirmed
kills. One script adds the increments and moves the position up to which events are counted. So
several processes never count an event twice, and an agent stays counted after its retention.
The scripts of state transitions need no counters. The stream holds 100,000 events; events that it
drops before a request are not counted.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from orchestrator.models import Receipt
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agent_index, agents, changes, kills
from orchestrator.store import events as event_stream
from orchestrator.store import metrics as stored
from orchestrator.store.operations import Flow

SPAWN_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
KILL_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SPAWN, KILL = "spawn_to_running", "kill"
#: The separator of the labels in the name of a counter.
SEPARATOR = "|"
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_COUNTED = {"agent.recovering": "recoveries", "agent.stalled": "stalls"}
_BATCH = 500

#: Counter → its increment: a number of events, tokens, seconds or US dollars.
Increments = defaultdict[str, float]


def counters() -> Flow[dict[str, float]]:
    """Count the events since the last call, and return all counters by name.

    Touches: the counters, both streams, and the records, reports and receipts of ended agents.
    """
    yield from _aggregate("events", _events_after, _of_events)
    yield from _aggregate("kills", _kills_after, _of_acks)
    counted: dict[str, float] = yield stored.read_counters()
    return counted


Stretch = Sequence[tuple[str, str]]


def _aggregate(
    stream: stored.Counted,
    read: Callable[[str], Flow[Stretch]],
    count: Callable[[Sequence[str]], Flow[Increments]],
) -> Flow[None]:
    while True:
        known: str = yield stored.position_of(stream)
        stretch = yield from read(known or "0-0")
        if not stretch:
            return
        increments = yield from count([document for _, document in stretch])
        # If the script refuses, another process has counted these events; the loop continues.
        yield stored.aggregate(stream, increments, after=known, upto=stretch[-1][0])


def _events_after(position: str) -> Flow[Stretch]:
    events = yield event_stream.read_stored(after=position, count=_BATCH)
    return [(event.id, event.document) for event in events]


def _kills_after(position: str) -> Flow[Stretch]:
    acks: Stretch = yield kills.acks_after(position, count=_BATCH)
    return acks


def _of_events(documents: Sequence[str]) -> Flow[Increments]:
    increments: Increments = defaultdict(float)
    events = [json.loads(document) for document in documents]
    for event in events:
        if name := _COUNTED.get(event.get("type", "")):
            increments[name] += 1
    yield from _count_starts([e for e in events if e.get("type") == "agent.running"], increments)
    ended = [e["agentId"] for e in events if e.get("type") in {f"agent.{end}" for end in FINAL}]
    if ended:
        yield from _count_ends(ended, increments)
    return increments


def _count_starts(events: Sequence[dict[str, Any]], increments: Increments) -> Flow[None]:
    if not events:
        return
    ids = [event["agentId"] for event in events]
    spawned: list[float | None] = yield agent_index.spawned_ms(ids)
    for event, spawned_ms in zip(events, spawned, strict=True):
        if spawned_ms is not None:
            started = datetime.fromisoformat(event["timestamp"]).timestamp()
            _observe(increments, SPAWN, SPAWN_BUCKETS_S, started - spawned_ms / 1000)


def _count_ends(ended: Sequence[str], increments: Increments) -> Flow[None]:
    states = yield from agents.read_each(ended)
    for agent in states:
        increments[_name("ended", agent.status, agent.error_code or "")] += 1
        for kind in _TOKENS:
            increments[_name("tokens", kind.removesuffix("_tokens"))] += getattr(agent.usage, kind)
        increments["cost_usd"] += agent.usage.cost_usd or 0
        for report in (yield changes.read_reports(agent.agent_id)):
            for gate in report.gates:
                increments[_name("gates", gate.name, gate.status)] += 1
    receipts = yield kills.find_receipts(ended)
    # Kills without a process are confirmed by the state; others count when they are confirmed.
    _observe_kills(increments, (r for r in receipts if r and r.confirmed_by == "state"))


def _of_acks(agent_ids: Sequence[str]) -> Flow[Increments]:
    increments: Increments = defaultdict(float)
    receipts = yield kills.find_receipts(agent_ids)
    _observe_kills(increments, (receipt for receipt in receipts if receipt))
    return increments


def _observe_kills(increments: Increments, receipts: Iterator[Receipt]) -> None:
    for receipt in receipts:
        _observe(increments, KILL, KILL_BUCKETS_S, (receipt.duration_ms or 0) / 1000)


def _observe(increments: Increments, name: str, bounds: Sequence[float], value: float) -> None:
    seconds = max(value, 0.0)  # clocks of two hosts may differ
    increments[_name(name, str(bisect_left(bounds, seconds)))] += 1
    increments[_name(name, "sum")] += seconds


def _name(*parts: str) -> str:
    return SEPARATOR.join(parts)
