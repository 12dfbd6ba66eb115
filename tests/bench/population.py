"""Many agents in a Valkey, written fast: copies of a few that the store's own steps have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis

from orchestrator.store import keys
from orchestrator.store.budget import TOTAL
from orchestrator.store.client import Store
from tests.browser.seeding import Seed

#: Of a hundred agents: as many have ended, or wait. The slots bound those that run.
SHARES = {"completed": 80, "rejected": 8, "killed": 6, "queued": 6}
MOST_RUNNING = 20
#: Copies that one pipeline writes.
_BATCH = 500
#: Sums and shared records, of which a copy adds nothing but its own share.
_SHARED = frozenset({keys.EVENTS_STREAM, keys.METRICS, keys.AUDIT_WAITING})


@dataclass
class Template:
    """All that Valkey has of one agent."""

    agent_id: str
    task_id: str
    strings: dict[str, bytes] = field(default_factory=dict)
    lists: dict[str, list[bytes]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, dict[str, bytes]] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)

    def renamed(self, text: str, agent_id: str) -> str:
        """Return a text about this agent as one about its copy."""
        return text.replace(self.agent_id, agent_id).replace(self.task_id, f"task-{agent_id}")

    def document(self, stored: bytes, agent_id: str) -> bytes:
        """Return a stored document about this agent as one about its copy."""
        return self.renamed(stored.decode(), agent_id).encode()


def read(client: redis.Redis, agent_id: str, task_id: str) -> Template:
    """Find all that Valkey has of an agent: its own keys, and its entries in shared ones."""
    found = Template(agent_id, task_id)
    for name in sorted({key.decode() for key in client.scan_iter(count=1_000)} - _SHARED):
        _read_key(client, name, found)
    for _, fields in client.xrange(keys.EVENTS_STREAM):
        if agent_id.encode() in fields[b"event"]:
            found.events.append(fields[b"event"])
    return found


def _read_key(client: redis.Redis, name: str, found: Template) -> None:
    agent_id = found.agent_id
    is_own = agent_id in name or found.task_id in name
    match client.type(name).decode():
        case "string" if is_own:
            found.strings[name] = client.get(name)
        case "list":
            entries = client.lrange(name, 0, -1)
            found.lists[name] = [one for one in entries if is_own or agent_id.encode() in one]
        case "zset" if (score := client.zscore(name, agent_id)) is not None:
            found.scores[name] = score
        case "hash":
            found.hashes[name] = {
                key.decode(): value
                for key, value in client.hscan_iter(name)
                if is_own or agent_id in key.decode()
            }
        case _:
            pass


def write(client: redis.Redis, template: Template, count: int) -> list[str]:
    """Write copies of an agent; the order of their spawns is that of the list."""
    ids = [str(uuid4()) for _ in range(count)]
    for start in range(0, count, _BATCH):
        pipe = client.pipeline(transaction=False)
        for at, agent_id in enumerate(ids[start : start + _BATCH], start):
            _copy(pipe, template, agent_id, at)
        pipe.execute()
    return ids


def _copy(pipe: Any, template: Template, agent_id: str, at: int) -> None:
    for name, document in template.strings.items():
        pipe.set(template.renamed(name, agent_id), template.document(document, agent_id))
    for name, entries in template.lists.items():
        if not entries:
            continue
        pipe.lpush(
            template.renamed(name, agent_id),
            *(template.document(one, agent_id) for one in reversed(entries)),
        )
    for name, score in template.scores.items():
        # Each a millisecond after the one before, where the score is an instant.
        later = at if name in {keys.AGENTS, *keys.lists().values()} else 0
        pipe.zadd(template.renamed(name, agent_id), {agent_id: score + later})
    for name, fields in template.hashes.items():
        if not fields:
            continue
        pipe.hset(
            template.renamed(name, agent_id),
            mapping={template.renamed(key, agent_id): value for key, value in fields.items()},
        )
        if name == keys.RESERVED:
            pipe.hincrby(name, TOTAL, int(fields[template.agent_id]))
    for event in template.events[-1:]:
        pipe.xadd(keys.EVENTS_STREAM, {"event": template.document(event, agent_id)})


def queue(client: redis.Redis, store: Store, count: int) -> Sequence[str]:
    """Write agents that wait for their first worker; returns their ids."""
    seed = Seed(store)
    seed.limit(daily=10**15, concurrency=10**6)
    one = seed.make("queued")
    copies = write(client, read(client, one.agent_id, one.task_id), count - 1)
    return [one.agent_id, *copies]


def populate(client: redis.Redis, store: Store, count: int) -> Sequence[str]:
    """Write a population; returns the ids of those that have ended, the oldest first."""
    seed = Seed(store)
    seed.limit(daily=10**15, concurrency=10**6)
    shares = {kind: max(1, count * share // 100) for kind, share in SHARES.items()}
    shares["running"] = min(MOST_RUNNING, max(1, count // 10))
    made = {kind: seed.make(kind) for kind in shares}
    # All are read before the first copy: to find what Valkey has of one reads all its keys.
    templates = {kind: read(client, one.agent_id, one.task_id) for kind, one in made.items()}
    ended: list[str] = []
    for kind, template in templates.items():
        copies = write(client, template, shares[kind] - 1)
        if kind not in {"queued", "running"}:
            ended += [template.agent_id, *copies]
    return ended
