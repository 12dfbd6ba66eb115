"""What an agent leaves for the pools after it: the bundle of its change and its gate reports."""

from __future__ import annotations

from orchestrator.errors import ChangeMissing
from orchestrator.models import GateReport
from orchestrator.store import keys, objects
from orchestrator.store.objects import ObjectRef
from orchestrator.store.operations import Flow, Operation, command, nothing, parse_record


def put_change(agent_id: str, attempt: int, bundle: bytes) -> Flow[ObjectRef]:
    """Store the bundle of one attempt; its name carries the attempt, so none overwrites another.

    Content that Valkey already has is not sent.
    """
    return (yield from objects.put(keys.change(agent_id, attempt), bundle))


def save_change(agent_id: str, attempt: int, bundle: bytes, *, for_s: float) -> Flow[ObjectRef]:
    """Store the work of an attempt for a time; as `put_change`."""
    return (yield from objects.put(keys.change(agent_id, attempt), bundle, for_s=for_s))


def get_change(agent_id: str, attempt: int) -> Flow[bytes]:
    """Read the bundle of one attempt.

    Raises:
        ChangeMissing: there is none.
        ObjectDamaged: a part of it is missing or changed.
    """
    key = keys.change(agent_id, attempt)
    bundle: bytes | None = yield from objects.read(key)
    if bundle is None:
        msg = f"{key} is gone."
        raise ChangeMissing(msg)
    return bundle


def newest_change(agent_id: str, attempts: int, *, oldest: int = 0) -> Flow[tuple[int, bytes]]:
    """Read the newest bundle an agent left, and its attempt; none of before attempt `oldest`.

    Raises:
        ChangeMissing: there is none: it changed nothing, or its branch is pushed.
        ObjectDamaged: a part of it is missing or changed.
    """
    for attempt in range(attempts, oldest - 1, -1):
        bundle: bytes | None = yield from objects.read(keys.change(agent_id, attempt))
        if bundle is not None:
            return attempt, bundle
    raise _nothing(agent_id)


def newest_object(agent_id: str, attempts: int) -> Flow[ObjectRef | None]:
    """Return which object is the newest bundle; None if there is none, or it is of an old version.

    A reader of its pieces holds none of the others.
    """
    for attempt in range(attempts, -1, -1):
        key = keys.change(agent_id, attempt)
        if (yield objects.exists(key)):
            return (yield from objects.find(key))
    return None


def copy_newest_change(agent_id: str, attempts: int, new_id: str, *, for_s: float) -> Flow[None]:
    """Store the newest bundle of an agent as attempt 0 of another, without sending it again.

    Raises:
        ChangeMissing: there is none.
        ObjectDamaged: a part of it is missing.
    """
    for attempt in range(attempts, -1, -1):
        source, target = keys.change(agent_id, attempt), keys.change(new_id, 0)
        if (yield from objects.copy(source, target, for_s=for_s)):
            return
    raise _nothing(agent_id)


def drop_changes(agent_id: str, attempts: int) -> Flow[int]:
    """Remove the bundles of every attempt; returns how many there were."""
    dropped = 0
    for attempt in range(max(attempts, 1) + 1):
        dropped += yield from objects.remove(keys.change(agent_id, attempt))
    return dropped


def keep_changes(agent_id: str, attempts: int, *, for_s: float) -> Flow[int]:
    """Let the bundles of every attempt lapse only later; returns how many there are."""
    kept = 0
    for attempt in range(attempts + 1):
        kept += yield from objects.renew(keys.change(agent_id, attempt), for_s=for_s)
    return kept


def has_change(agent_id: str, attempt: int) -> Operation[bool]:
    """Return whether an attempt has left a bundle."""
    return objects.exists(keys.change(agent_id, attempt))


def has_any_change(agent_id: str, attempts: int) -> Operation[bool]:
    """Return whether any attempt has left a bundle that is kept."""
    return objects.exists(*(keys.change(agent_id, attempt) for attempt in range(attempts + 1)))


def _nothing(agent_id: str) -> ChangeMissing:
    msg = f"Nothing of agent {agent_id} is kept."
    return ChangeMissing(msg, action="It changed nothing, or pushed it: see `orch status`.")


def append_report(report: GateReport) -> Operation[None]:
    """Keep a gate report."""
    document = report.model_dump_json(by_alias=True, exclude_none=True)
    return command("RPUSH", keys.reports(report.agent_id), document, decode=nothing)


def read_reports(agent_id: str) -> Operation[tuple[GateReport, ...]]:
    """Read an agent's gate reports, oldest first."""
    key = keys.reports(agent_id)
    return command(
        "LRANGE",
        key,
        0,
        -1,
        decode=lambda reply: tuple(parse_record(GateReport, key, entry) for entry in reply),
    )
