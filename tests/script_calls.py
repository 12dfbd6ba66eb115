"""One valid call of every Lua script, on a state in which each of them writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.control.submit import SubmitService
from orchestrator.errors import OrchestratorError
from orchestrator.messages import SPAWN_QUEUE, SPAWN_TASK, StageMessage
from orchestrator.models import (
    AgentState,
    ApiKey,
    AuditAction,
    KeyScope,
    LeftOut,
    LogLine,
    ModelChoice,
    Retained,
    SpawnRequest,
    Status,
)
from orchestrator.settings.prices import Price
from orchestrator.store import (
    agent_index,
    agent_logs,
    agent_transitions,
    agents,
    api_keys,
    audit,
    budget,
    capture_reports,
    delays,
    events,
    kills,
    leases,
    lost_messages,
    metrics,
    model_requests,
    objects,
    overlap,
    provider_limits,
    rate_limits,
    registration,
    sessions,
    trails,
    workers,
)
from orchestrator.store.client import Store
from orchestrator.store.operations import Operation, call

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
USAGE = {"inputTokens": 40, "totalTokens": 40, "costUsd": 0.25}
_CONTEXT = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
#: An object whose one piece is stored, and one that lacks the second of its pieces.
_WHOLE = objects.ObjectRef(digest="a" * 64, size=1)
_PART = objects.ObjectRef(digest="b" * 64, size=objects.PIECE_BYTES + 1)
_BODY = {"taskId": "t", "agentType": "worker", "context": _CONTEXT}


@dataclass(frozen=True)
class Agents:
    """An agent that waits, one that runs, one that is delayed and one that was killed."""

    queued: AgentState
    running: AgentState
    delayed: AgentState
    killed: AgentState


def seed(store: Store) -> Agents:
    """Make the state in which every call of `calls` writes."""
    service = SubmitService("scripted", frozenset({"scripted"}), lambda: NOW, lambda: "tag")
    found: dict[str, AgentState] = {}
    for name in ("queued", "running", "delayed", "killed"):
        agent_id = store.run(service.submit(_BODY, agent_id=name, by="ann")).agent_id
        found[name] = store.run(agents.read(agent_id))
    for name in ("running", "killed"):
        store.run(agent_transitions.claim(found[name], "w@h", "1:1", lease_s=30, now=NOW))
        claimed = store.run(agents.read(name))
        store.run(agent_transitions.start(claimed, base_commit="c", lease_s=30, now=NOW))
        found[name] = store.run(agents.read(name))
    until = NOW + timedelta(hours=1)
    store.run(agent_transitions.delay(found["delayed"], until=until, now=NOW))
    order = kills.KillOrder(by="ann", why="test")
    store.run(kills.kill([found["killed"]], order, now=NOW, tags=["order"]))
    running = found["running"]
    need = model_requests.TokenNeed(20_000, 50, 1, 16)
    store.run(model_requests.admit_request(running, "session", "old", need, now=NOW))
    other = running.model_copy(update={"agent_id": "another"})
    store.follow(overlap.touch(other, ["a.py"], now=NOW))
    store.run(api_keys.add_key(_key("old")))
    transcript = sessions.SessionTranscript("p", "old", "sub")
    store.follow(sessions.append(transcript, ['{"uuid": "1"}'], now=NOW))
    store.run(_set_lock())
    for ref in (_WHOLE, _PART):
        store.run(objects._put_piece(ref, 0, b"x"))
    return Agents(**found)


def calls(now_is: Agents) -> dict[str, Operation[Any]]:
    """Return a call of every script, by the script's name and what is particular to the call."""
    waits, runs = now_is.queued, now_is.running
    order = kills.KillOrder(by="ann", why="enough")
    transcript = sessions.SessionTranscript("p", "s")
    error = OrchestratorError("It failed.")
    facts = {"usage": USAGE, "summary": "s"}
    return {
        "transition claim": agent_transitions.claim(
            waits, "w@h", "1:1", lease_s=30, now=NOW, tag="tag"
        ),
        "transition update": agent_transitions.update(runs, facts, now=NOW),
        "transition end": agent_transitions.end(
            runs, Status.FAILED, now=NOW, tag="tag", error=error, patch=facts
        ),
        "transition recover": agent_transitions.recover(
            runs, continues=1, counts=True, delay_s=5, now=NOW, tag="tag"
        ),
        "kill": kills.kill([waits, runs], order, now=NOW, tags=["tag-1", "tag-2"]),
        "register": _registration(""),
        "register once": _registration("once"),
        "refuse": registration.refusal("nobody", error, now=NOW),
        "heartbeat": leases.heartbeat(runs, lease_s=60, now=NOW),
        "release": delays.release(
            StageMessage(SPAWN_TASK, SPAWN_QUEUE, "delayed", 5), now=NOW, tag="tag"
        ),
        "enqueue": kills.enqueue(
            StageMessage(SPAWN_TASK, SPAWN_QUEUE, "queued", 5), now=NOW, tag="tag"
        ),
        "missing_messages": lost_messages._missing_from("0"),
        "set_limits": budget.set_limits(
            {"daily": 1000, "time": 7200.0, "agent": None, "mode": "soft"}, now=NOW
        ),
        "recount": budget.recount(["queued"]),
        "admit_request": model_requests.admit_request(
            runs, "session", "new", model_requests.TokenNeed(100, 50, 1, 16), now=NOW
        ),
        "admit_request priced": model_requests.admit_request(
            runs,
            "session",
            "new",
            model_requests.TokenNeed(100, 50, 1, 16),
            now=NOW,
            price=Price(input=3, output=15),
        ),
        "close_requests": model_requests.close_requests("running", "session", ["old"], now=NOW),
        "add_to_receipt": kills.add_to_receipt(
            "killed", {"confirmed": True, "confirmedBy": "w", "endedMsAgo": 3}
        ),
        "append_log": agent_logs.append_log(
            "running", 1, [LogLine(at=NOW, source="stdout", text="hello")], cap=100
        ),
        "append_audit": audit.append(
            b"", b'{"seq":1}', 1, [(b'{"agentId":"queued"}', b"0a")], 1, agent_ids=["queued"]
        ),
        "append_session": sessions._append(transcript, ['{"uuid": "2"}', "{}"], now=NOW),
        "essential": workers.announce("spawn@there", now=NOW),
        "keep_session": sessions._keep(transcript, ['{"uuid": "3"}'], "", "1:aa", now=NOW),
        "read_transcript": sessions._read_items(transcript, 0),
        "read_log": next(agent_logs.read_log("running", count=5)),
        "drop_session": next(sessions.delete(sessions.SessionTranscript("p", "old", "sub"))),
        "add_key": api_keys.add_key(_key("new")),
        "revoke_key": api_keys.revoke_key("old"),
        "rate_limit": rate_limits.consume("read", "ann", a_minute=60),
        "aggregate": metrics.aggregate(
            "events", {"stalls": 2, "cost_usd": 0.5}, after="", upto="1-0"
        ),
        "record_capture": capture_reports.record_capture(
            "running",
            1,
            left_out=(LeftOut(reason="ignored", count=1, paths=("build/a",)),),
            unfinished=("a merge was begun and not finished",),
            change="c" * 40,
            retained=(Retained(ref="stash@{0}", commit="d" * 40, kind="stash"),),
        ),
        "limit_provider": provider_limits.limit_provider(
            ModelChoice(agent="claude", model="opus"), until=NOW + timedelta(hours=1), now=NOW
        ),
        "touch": overlap._touch(runs, ["a.py", "b.py"], ["another"], now=NOW),
        "ids_after": agent_index.ids_after("queued", 10),
        "read_trail": trails._read_entries("running", 0),
        "events_with": events.events_with("queued", after="0-0", upto="+"),
        "hold_object": objects._hold(_PART),
        "put_piece": objects._put_piece(_PART, 0, b"x" * objects.PIECE_BYTES),
        "name_object": objects._change("orchestrator:change:running:1", b"", _WHOLE, for_s=60),
        "unlock": call("unlock", {"lock": "orchestrator:sweep:lock"}, ("token",), bool),
    }


def with_arguments(operation: Operation[Any], arguments: tuple[Any, ...]) -> Operation[Any]:
    """Return the same call with other arguments."""
    count = keys_count(operation)
    return replace(operation, arguments=(*operation.arguments[: count + 1], *arguments))


def with_keys(operation: Operation[Any], keys: tuple[Any, ...]) -> Operation[Any]:
    """Return the same call with other keys."""
    return replace(operation, arguments=(len(keys), *keys, *arguments_of(operation)))


def keys_count(operation: Operation[Any]) -> int:
    return int(operation.arguments[0])


def keys_of(operation: Operation[Any]) -> tuple[Any, ...]:
    return operation.arguments[1 : keys_count(operation) + 1]


def arguments_of(operation: Operation[Any]) -> tuple[Any, ...]:
    return operation.arguments[keys_count(operation) + 1 :]


def _registration(idempotency_key: str) -> Operation[Any]:
    return registration.submission(
        SpawnRequest.parse(json.loads(json.dumps(_BODY))),
        agent_id="new",
        choices=[ModelChoice(agent="scripted")],
        now=NOW,
        tag="tag",
        note=AuditAction(action="spawn", who="ann", why=""),
        idempotency_key=idempotency_key,
    )


def _key(name: str) -> api_keys.StoredKey:
    key = ApiKey(name=name, scopes=(KeyScope.READ,), created_at=NOW, created_by="ann")
    return api_keys.StoredKey(**key.model_dump(), digest="0a")


def _set_lock() -> Operation[Any]:
    return Operation(("SET", "orchestrator:sweep:lock", "token"), bool)
