"""Every type of event: its purpose, its fields, and its JSON schema with a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.models.event import LifecycleEvent

#: A change that removes a field, or gives it another meaning, raises it; a new field does not.
VERSION = 1
_AGENT = ("agentId", "taskId", "status", "phase", "attempt")
_ABOUT_AN_AGENT = ("yolo", "agent", "model", "effort", "error", "errorCode")


@dataclass(frozen=True)
class EventKind:
    """One type of event; `type` and `timestamp` are in each of them."""

    purpose: str
    required: tuple[str, ...] = _AGENT
    optional: tuple[str, ...] = _ABOUT_AN_AGENT


_WITH_REASON = (*_ABOUT_AN_AGENT, "reason", "reasonCode")

EVENTS: Mapping[str, EventKind] = {
    "agent.spawning": EventKind("The agent is stored, and waits for a slot."),
    "agent.running": EventKind("Its program runs for the first time."),
    "agent.phase": EventKind(
        "It moved from one phase to another, except to its end and its cleanup.",
        (*_AGENT, "from", "to", "round"),
        _WITH_REASON,
    ),
    "agent.waiting": EventKind(
        "A host has too little disk space for it: `reason`.", optional=_WITH_REASON
    ),
    "agent.recovering": EventKind(
        "An attempt was lost or delayed: `reason`; the next one continues.", optional=_WITH_REASON
    ),
    "agent.fallback": EventKind(
        "Its provider is at its limit: `reason`; another choice continues.",
        (*_AGENT, "agent", "fallbackFrom", "reason"),
        (*_ABOUT_AN_AGENT, "reasonCode"),
    ),
    "agent.stalled": EventKind("It shows no activity."),
    "agent.active": EventKind("It shows activity again."),
    "agent.warning": EventKind(
        "Something may end it, or its work is not stored: `error`.",
        ("agentId",),
        ("taskId", "status", "phase", "attempt", *_ABOUT_AN_AGENT),
    ),
    "agent.overlap": EventKind(
        "Another agent of the repository changes the same files.",
        ("agentId", "other"),
        ("taskId", "status", "phase", "attempt", "files", "moreFiles"),
    ),
    "agent.completed": EventKind("Its change is delivered."),
    "agent.failed": EventKind(
        "It has failed: `error`.",
        ("agentId",),
        ("taskId", "status", "phase", "attempt", *_ABOUT_AN_AGENT),
    ),
    "agent.killed": EventKind(
        "It was killed.", ("agentId",), ("taskId", "status", "phase", "attempt", *_ABOUT_AN_AGENT)
    ),
    "agent.cleanup": EventKind("Its container, workspace and keys are removed."),
    "budget.status": EventKind(
        "The day's budget has another status.",
        ("budget", "used", "limit"),
        ("agentId", "usedUsd", "limitUsd"),
    ),
}


def event_schema() -> dict[str, Any]:
    """Return the JSON schema of all events: one definition for each type."""
    whole = LifecycleEvent.model_json_schema()
    shared = whole.get("$defs", {})
    kinds = {name: _schema_of(name, kind, whole["properties"]) for name, kind in EVENTS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:orchestrator:events:{VERSION}",
        "title": "Events of Mosaic Orchestrator",
        "version": VERSION,
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": {**shared, **kinds},
    }


def _schema_of(
    name: str, kind: EventKind, properties: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    required = ("type", "timestamp", *kind.required)
    # An SSE consumer of an older version reads on when a field is added.
    fields = {one: _given(properties[one]) for one in (*required, *kind.optional)}
    return {
        "title": name,
        "description": kind.purpose,
        "type": "object",
        "properties": {**fields, "type": {"const": name}},
        "required": list(required),
    }


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field that is absent instead of null."""
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    plain = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**plain, **(options[0] if options else {})}
