"""What an agent leaves for the pools after it: the bundle of its change and its gate reports."""

from __future__ import annotations

from orchestrator.errors import ChangeMissing
from orchestrator.models import GateReport
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, command, nothing, parse_record


def put_change(agent_id: str, attempt: int, bundle: bytes) -> Operation[None]:
    """Keep the bundle of one attempt; its name carries the attempt, so none overwrites another."""
    return command("SET", keys.change(agent_id, attempt), bundle, decode=nothing)


def save_change(agent_id: str, attempt: int, bundle: bytes, *, for_s: float) -> Operation[None]:
    """Keep what an attempt had changed when it was stopped, for who wants to look at it."""
    key = keys.change(agent_id, attempt)
    return command("SET", key, bundle, "EX", round(for_s), decode=nothing)


def get_change(agent_id: str, attempt: int) -> Operation[bytes]:
    """Read the bundle of one attempt.

    Raises:
        ChangeMissing: it is not there.
    """
    key = keys.change(agent_id, attempt)

    def decode(reply: bytes | None) -> bytes:
        if reply is None:
            msg = f"{key} is gone."
            raise ChangeMissing(msg)
        return reply

    return command("GET", key, decode=decode)


def newest_change(agent_id: str, attempts: int, *, oldest: int = 0) -> Flow[tuple[int, bytes]]:
    """Read the newest bundle an agent left, and its attempt; none of before attempt `oldest`.

    Raises:
        ChangeMissing: there is none: it changed nothing, or its branch is pushed.
    """
    for attempt in range(attempts, oldest - 1, -1):
        bundle: bytes | None = yield command(
            "GET", keys.change(agent_id, attempt), decode=lambda reply: reply
        )
        if bundle is not None:
            return attempt, bundle
    msg = f"Nothing of agent {agent_id} is kept."
    raise ChangeMissing(msg, action="It changed nothing, or pushed it: see `orch status`.")


def drop_changes(agent_id: str, attempts: int) -> Operation[int]:
    """Remove the bundles of every attempt; returns how many there were."""
    names = (keys.change(agent_id, attempt) for attempt in range(max(attempts, 1) + 1))
    return command("UNLINK", *names, decode=int)


def keep_changes(agent_id: str, attempts: int, *, for_s: float) -> Flow[int]:
    """Let the bundles of every attempt lapse only later; returns how many there are."""
    kept = 0
    for attempt in range(attempts + 1):
        kept += yield command("EXPIRE", keys.change(agent_id, attempt), round(for_s), decode=int)
    return kept


def has_change(agent_id: str, attempt: int) -> Operation[bool]:
    """Return whether an attempt has left a bundle."""
    return command("EXISTS", keys.change(agent_id, attempt), decode=bool)


def has_any_change(agent_id: str, attempts: int) -> Operation[bool]:
    """Return whether any attempt has left a bundle that is kept."""
    names = (keys.change(agent_id, attempt) for attempt in range(attempts + 1))
    return command("EXISTS", *names, decode=bool)


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
