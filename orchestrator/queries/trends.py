"""The trends: what ended, was spent and waited in the last hour, and in the last day by repository.

A request for them counts the new events of the event stream, as the metrics do. The counters are
of minutes and hours: those that are over are removed, and an hour has a limited number of
repositories. So neither the counters nor the work of a request grow with the number of agents. The
time of an event is that of its id, from the clock of Valkey.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from orchestrator.models.state_machine import FINAL
from orchestrator.models.trends import RepositoryTrend, TrendMinute, Trends
from orchestrator.store import agent_index, agents, server
from orchestrator.store import events as event_stream
from orchestrator.store import trends as stored
from orchestrator.store.events import StoredEvent
from orchestrator.store.operations import Flow

MINUTES, HOURS = 60, 24
#: The repositories of an hour that have their own counters; the others share one.
MOST_REPOSITORIES = 40
#: The repositories that the trends name.
NAMED = 7
_MINUTE_S, _HOUR_S = 60, 3600
_BATCH = 500
_ENDS = {f"agent.{end}" for end in FINAL}
_OTHERS = ""

#: (unit, number since 1970, measure, repository), as `unit|number|measure|repository` in Valkey.
Counter = tuple[str, int, str, str]
Counts = Mapping[Counter, float]


def trends() -> Flow[Trends]:
    """Count the events since the last call, and return the last hour and the last day.

    Touches: the counters, the event stream, and the records of agents that ended meanwhile.
    """
    now = yield server.now()
    yield from _count_new(now)
    counts = _parsed((yield stored.read_trends()))
    over = [_name(counter) for counter in counts if _is_over(counter, now)]
    for start in range(0, len(over), _BATCH):
        yield stored.drop(over[start : start + _BATCH])
    return summarize(counts, now)


def summarize(counts: Counts, now: datetime) -> Trends:
    """Return the trends of these counters."""
    minute, hour = int(now.timestamp()) // _MINUTE_S, int(now.timestamp()) // _HOUR_S
    hours = range(hour - HOURS + 1, hour + 1)
    return Trends(
        minutes=tuple(_minute(counts, at) for at in range(minute - MINUTES + 1, minute + 1)),
        hours=tuple(_instant(at * _HOUR_S) for at in hours),
        repositories=tuple(_repositories(counts, hours)),
    )


def _minute(counts: Counts, at: int) -> TrendMinute:
    def of(measure: str) -> float:
        return counts.get(("m", at, measure, _OTHERS), 0.0)

    started = int(of("started"))
    return TrendMinute(
        at=_instant(at * _MINUTE_S),
        ended=int(of("ended")),
        tokens=int(of("tokens")),
        cost_usd=round(of("cost_usd"), 6),
        started=started,
        wait_s=round(of("wait_s") / started, 3) if started else 0.0,
    )


def _repositories(counts: Counts, hours: Sequence[int]) -> Iterable[RepositoryTrend]:
    ended: dict[str, float] = defaultdict(float)
    for (unit, at, measure, repository), n in counts.items():
        if unit == "h" and measure == "ended" and at in hours:
            ended[repository] += n
    largest = sorted(ended.keys() - {_OTHERS}, key=lambda name: (-ended[name], name))
    groups = [(name, [name]) for name in largest[:NAMED]]
    if others := [*largest[NAMED:], *({_OTHERS} & ended.keys())]:
        groups.append((_OTHERS, others))
    for name, members in groups:
        rows = {
            measure: tuple(
                int(sum(counts.get(("h", at, measure, member), 0) for member in members))
                for at in hours
            )
            for measure in ("ended", "tokens")
        }
        yield RepositoryTrend(repository=name, **rows)


# ── counting ────────────────────────────────────────────────────────────────────────────────


def _count_new(now: datetime) -> Flow[None]:
    oldest_ms = int((now.timestamp() - HOURS * _HOUR_S) * 1000)
    while True:
        known: str = yield stored.position()
        # What is older than a day is in no trend.
        after = max(known or "0-0", f"{oldest_ms}-0", key=_order)
        events = yield event_stream.read_stored(after=after, count=_BATCH)
        if not events:
            return
        counts = _parsed((yield stored.read_trends()))
        increments = yield from _increments(events, _repositories_of_hours(counts))
        # If another process has counted these events, nothing is added and the loop continues.
        yield stored.add(
            {_name(counter): n for counter, n in increments.items()},
            after=known,
            upto=events[-1].id,
        )


def _increments(
    events: Sequence[StoredEvent], repositories: defaultdict[int, set[str]]
) -> Flow[Counts]:
    counts: dict[Counter, float] = defaultdict(float)
    ended, started = {}, {}
    for event in events:
        facts = json.loads(event.document)
        if facts.get("type") in _ENDS:
            ended[facts["agentId"]] = _second(event)
        # Only its first start ends the wait of an agent; later attempts wait for other reasons.
        elif facts.get("type") == "agent.running" and facts.get("attempt") == 1:
            started[facts["agentId"]] = _second(event)
    if started:
        spawned = yield agent_index.spawned_ms(list(started))
        for second, spawned_ms in zip(started.values(), spawned, strict=True):
            if spawned_ms is not None:
                at = int(second) // _MINUTE_S
                counts["m", at, "started", _OTHERS] += 1
                counts["m", at, "wait_s", _OTHERS] += max(0.0, second - spawned_ms / 1000)
    for agent in (yield from agents.read_each(list(ended))) if ended else ():
        second = ended[agent.agent_id]
        at, hour = int(second) // _MINUTE_S, int(second) // _HOUR_S
        counts["m", at, "ended", _OTHERS] += 1
        counts["m", at, "tokens", _OTHERS] += agent.usage.total_tokens
        counts["m", at, "cost_usd", _OTHERS] += agent.usage.cost_usd or 0
        known = repositories[hour]
        has_room = agent.repository in known or len(known) < MOST_REPOSITORIES
        name = agent.repository if has_room else _OTHERS
        known.add(name)
        counts["h", hour, "ended", name] += 1
        counts["h", hour, "tokens", name] += agent.usage.total_tokens
    return counts


def _repositories_of_hours(counts: Iterable[Counter]) -> defaultdict[int, set[str]]:
    found: defaultdict[int, set[str]] = defaultdict(set)
    for unit, at, _, repository in counts:
        if unit == "h":
            found[at].add(repository)
    return found


def _order(event_id: str) -> tuple[int, int]:
    ms, _, number = event_id.partition("-")
    return int(ms), int(number)


def _second(event: StoredEvent) -> float:
    return _order(event.id)[0] / 1000


def _is_over(counter: Counter, now: datetime) -> bool:
    unit, at, _, _ = counter
    second = now.timestamp()
    if unit == "m":
        return at <= second // _MINUTE_S - MINUTES
    return at <= second // _HOUR_S - HOURS


def _name(counter: Counter) -> str:
    return "|".join(str(part) for part in counter)


def _parsed(fields: Mapping[str, float]) -> dict[Counter, float]:
    found: dict[Counter, float] = {}
    for field, value in fields.items():
        unit, at, measure, repository = field.split("|", 3)
        found[unit, int(at), measure, repository] = value
    return found


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
