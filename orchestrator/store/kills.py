"""The steps of a kill as operations: the order, who hears it, the receipts, the latch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from orchestrator.errors import AgentKilled, NotFound
from orchestrator.messages import (
    CLEANUP_QUEUE,
    CLEANUP_TASK,
    StageMessage,
    result_frame,
    result_key,
)
from orchestrator.models import (
    AgentState,
    PartialRecord,
    Phase,
    Receipt,
    Status,
    iso_instant,
)
from orchestrator.models.state_machine import ACTIVE, TASK_STATUS
from orchestrator.models.text import storable
from orchestrator.store import keys
from orchestrator.store.agent_index import slice_of
from orchestrator.store.agent_outlines import partial_record
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import (
    Flow,
    Operation,
    call,
    command,
    nothing,
    read_record,
    read_records,
    text,
    to_json,
)
from orchestrator.store.transition import OUTCOME_FIELDS, RESULT_TTL_S, awaited, now_ms

#: Agents of one call of the script: it blocks Valkey for less than 5 ms.
CHUNK = 20
_ACKS_CAP = 10_000
#: Ids of one read.
_PART = 1_000


@dataclass(frozen=True)
class KillOrder:
    """Who wants some agents dead, and why."""

    by: str
    why: str
    #: Their work is not saved.
    discard: bool = False

    def __post_init__(self) -> None:
        """Replace what is no text in the words of a person: they must not keep a kill from all."""
        for name in ("by", "why"):
            object.__setattr__(self, name, storable(str(getattr(self, name))))


@dataclass(frozen=True)
class Killed:
    """What the order met: the agent as it was, and whether a worker holds it."""

    answer: Literal["absent", "malformed", "ended", "killed"]
    agent: PartialRecord | None = None
    is_held: bool = False


def kill(
    targets: Sequence[AgentState | PartialRecord],
    order: KillOrder,
    *,
    now: datetime,
    tags: Sequence[str],
) -> Operation[tuple[Killed, ...]]:
    """Kill these agents in one atomic step, at most CHUNK.

    A tag for each names its cleanup and the order: sent again, the answer is the same.

    Touches: agents, their tasks, leases, status indexes, events, results, receipts, the cleanup
    queue, the budget, and the kill stream, which every process that holds agents reads.
    """
    instant = iso_instant(now)
    why = f"{order.why} (killed by {order.by})" if order.why else f"Killed by {order.by}."
    error = AgentKilled(why)
    messages = [
        StageMessage(CLEANUP_TASK, CLEANUP_QUEUE, agent.agent_id, agent.priority, agent.attempt)
        for agent in targets
    ]
    frames = [result_frame(agent.agent_id, now) for agent in targets]
    document = {
        "nowMs": now_ms(now),
        "active": sorted(ACTIVE),
        "outcome": OUTCOME_FIELDS,
        "patch": {
            "phase": Phase.ENDED,
            "completedAt": instant,
            "error": error.detail,
            "errorCode": error.code,
        },
        "taskPatch": {
            "status": TASK_STATUS[Status.KILLED],
            "updatedAt": instant,
            "completedAt": instant,
            "error": error.detail,
        },
        "event": {"type": f"agent.{Status.KILLED}", "timestamp": instant},
        "receipt": {
            "by": order.by,
            "why": order.why,
            "requestedAt": instant,
            "statusAfter": Status.KILLED,
            "discard": order.discard,
        },
        "agents": [
            {
                "agentId": agent.agent_id,
                "orderId": tag,
                "message": message.envelope(delivery_tag=tag, origin="orchestrator"),
                "awaited": awaited(message, now),
                "before": before,
                "after": after,
            }
            for agent, message, tag, (before, after) in zip(
                targets, messages, tags, frames, strict=True
            )
        ],
    }
    return call(
        "kill",
        {
            "leases": keys.LEASES,
            "events": keys.EVENTS_STREAM,
            "kills": keys.KILLS,
            "unconfirmed": keys.UNCONFIRMED,
            "delayed": keys.DELAYED,
            "agents": keys.AGENTS,
            "index": keys.index(),
            "listed": keys.lists(),
            "budget": keys.budget(now),
            "targets": [
                {
                    "agent": keys.agent(agent.agent_id),
                    "task": keys.task(agent.task_id),
                    "result": result_key(agent.agent_id),
                    "receipt": keys.receipt(agent.agent_id),
                    "trail": keys.trail(agent.agent_id),
                    "cleanup": message.key,
                }
                for agent, message in zip(targets, messages, strict=True)
            ],
        },
        (to_json(document), keys.EVENTS_CHANNEL, EVENTS_CAP, RESULT_TTL_S),
        lambda replies: tuple(
            _killed(agent.agent_id, reply) for agent, reply in zip(targets, replies, strict=True)
        ),
    )


def _killed(agent_id: str, reply: list[bytes]) -> Killed:
    answer, *rest = reply
    if answer == b"absent":
        return Killed("absent")
    if answer == b"malformed":
        return Killed("malformed", PartialRecord(agent_id=agent_id))
    before = partial_record(agent_id, rest[0])
    if answer == b"ended":
        return Killed("ended", before)
    return Killed("killed", before, is_held=rest[1] == b"held")


def add_to_receipt(agent_id: str, facts: Mapping[str, Any]) -> Operation[str]:
    """Add facts to a receipt; `confirmed` counts once. Answers `added`, `again` or `absent`."""
    return call(
        "add_to_receipt",
        {
            "receipt": keys.receipt(agent_id),
            "unconfirmed": keys.UNCONFIRMED,
            "acks": keys.KILL_ACKS,
        },
        (agent_id, to_json(dict(facts)), _ACKS_CAP),
        text,
    )


def find_receipt(agent_id: str) -> Operation[Receipt | None]:
    """Read the receipt of an agent's kill; None where it was not killed."""
    return read_record(Receipt, keys.receipt(agent_id))


def read_receipt(agent_id: str) -> Operation[Receipt]:
    """Read the receipt of an agent's kill.

    Raises:
        NotFound: it was not killed.
    """
    found = find_receipt(agent_id)

    def decode(reply: Any) -> Receipt:
        receipt = found.decode(reply)
        if receipt is None:
            msg = f"There is no receipt of a kill of agent {agent_id}."
            raise NotFound(msg)
        return receipt

    return Operation(found.arguments, decode)


def unconfirmed() -> Operation[tuple[str, ...]]:
    """List the agents whose kill nobody has confirmed, the oldest first."""
    return command(
        "ZRANGE", keys.UNCONFIRMED, 0, -1, decode=lambda reply: tuple(map(bytes.decode, reply))
    )


def find_receipts(agent_ids: Sequence[str]) -> Operation[tuple[Receipt | None, ...]]:
    """Read the receipts of some kills; None where there is none that can be read."""
    return read_records(Receipt, tuple(map(keys.receipt, agent_ids)))


def receipts_of(agents: Sequence[AgentState]) -> Flow[dict[str, Receipt]]:
    """Read the receipts of those that were killed, by agentId, at once."""
    killed = [agent.agent_id for agent in agents if agent.status is Status.KILLED]
    if not killed:
        return {}
    found = yield find_receipts(killed)
    return {name: receipt for name, receipt in zip(killed, found, strict=True) if receipt}


def has_receipt(agent_id: str) -> Operation[bool]:
    """Return whether there is a receipt of this agent's kill, readable or not."""
    return command("EXISTS", keys.receipt(agent_id), decode=bool)


def drop_unconfirmed(agent_id: str) -> Operation[None]:
    """Await the confirmation of this agent's kill no longer."""
    return command("ZREM", keys.UNCONFIRMED, agent_id, decode=nothing)


def last_kill() -> Operation[str]:
    """Return the id of the last entry of the kill stream, from which the next ones are awaited."""
    return _last_entry(keys.KILLS)


def last_ack() -> Operation[str]:
    """Return the id of the last confirmation, from which the next ones are awaited."""
    return _last_entry(keys.KILL_ACKS)


def acks_after(entry: str, *, count: int) -> Operation[list[tuple[str, str]]]:
    """Read confirmations after an id, oldest first: the id of each, and its agent's."""
    return command(
        *("XRANGE", keys.KILL_ACKS, f"({entry}", "+", "COUNT", count),
        decode=lambda reply: [(name.decode(), fields[b"agent"].decode()) for name, fields in reply],
    )


def _last_entry(stream: str) -> Operation[str]:
    return command(
        "XREVRANGE",
        stream,
        "+",
        "-",
        "COUNT",
        1,
        decode=lambda reply: reply[0][0].decode() if reply else "0-0",
    )


@dataclass(frozen=True)
class KillEntries:
    """Agents named in a stream since the last look, and where to look on from."""

    last: str
    agent_ids: tuple[str, ...] = ()


def await_kills(after: str, *, block_ms: int) -> Operation[KillEntries]:
    """Wait for the next entries of the kill stream."""
    return _await(keys.KILLS, after, block_ms)


def await_acks(after: str, *, block_ms: int) -> Operation[KillEntries]:
    """Wait for the next confirmations."""
    return _await(keys.KILL_ACKS, after, block_ms)


def _await(stream: str, after: str, block_ms: int) -> Operation[KillEntries]:
    def decode(reply: Any) -> KillEntries:
        last, named = after, []
        for _, entries in reply or ():
            for entry, fields in entries:
                last = entry.decode()
                if b"agents" in fields:
                    named += json.loads(fields[b"agents"])
                else:
                    named.append(fields[b"agent"].decode())
        return KillEntries(last, tuple(named))

    # At least 1: to Valkey 0 is for ever.
    blocked = ("XREAD", "BLOCK", max(block_ms, 1), "STREAMS", stream, after)
    return command(*blocked, decode=decode, blocks_s=block_ms / 1000)


def active_ids() -> Flow[tuple[str, ...]]:
    """List the agents that have not ended, in reads of limited size.

    What enters or leaves a status meanwhile may be left out: a kill of all lists them again.
    """
    found: list[str] = []
    # In the order of an agent's life: none of them changes to a status that was read before.
    for status in (Status.SPAWNING, Status.RUNNING):
        part = None
        start = 0
        while part is None or len(part) == _PART:
            part = yield slice_of(status, start, _PART)
            found += part
            start += _PART
    return tuple(dict.fromkeys(found))


def await_disk(*, timeout_ms: int) -> Operation[bool]:
    """Wait until what was written is in Valkey's append-only file; False where it keeps none."""
    return command(
        *("WAITAOF", 1, 0, timeout_ms),
        decode=lambda reply: reply[0] == 1,
        blocks_s=timeout_ms / 1000,
    )


def enqueue(message: StageMessage, *, now: datetime, tag: str) -> Operation[None]:
    """Push a message again; the state decides whether there is still something to do."""
    return call(
        "enqueue",
        {"queue": message.key, "awaiting": keys.AWAITING},
        (
            message.agent_id,
            message.envelope(delivery_tag=tag, origin="orchestrator"),
            awaited(message, now),
        ),
        nothing,
    )
