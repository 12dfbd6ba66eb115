"""The JSON schema of which model and effort goes with which backend, for the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.interfaces.model_offer import ModelOffer

_NULL = {"type": "null"}
#: The backend is absent or null.
_NO_AGENT = {"not": {"required": ["agent"], "properties": {"agent": {"type": "string"}}}}
#: The signs of a shell pattern that have no simple form in a regular expression.
_SPECIAL = re.compile(r"[?\[\]]")


def conditions(offers: Mapping[str, ModelOffer], default_agent: str) -> list[dict[str, Any]]:
    """Return the conditions of a request: what its backend offers, also to its fallbacks."""
    found: list[dict[str, Any]] = []
    for name, offer in offers.items():
        model = {"properties": {"model": _taken(offer.models)}}
        others = {"fallback": {"items": {"if": _NO_AGENT, "then": model}}}
        then = {"properties": {**model["properties"], "effort": _taken(offer.efforts), **others}}
        found.append({"if": _is(name), "then": then})
        if name == default_agent:
            found.append({"if": _NO_AGENT, "then": then})
    return found


def fallback_conditions(offers: Mapping[str, ModelOffer]) -> list[dict[str, Any]]:
    """Return the conditions of a fallback that names its backend."""
    return [
        {"if": _is(name), "then": {"properties": {"model": _taken(offer.models)}}}
        for name, offer in offers.items()
        if "*" not in offer.models
    ]


def _is(name: str) -> dict[str, Any]:
    return {"required": ["agent"], "properties": {"agent": {"const": name}}}


def _taken(offered: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a name that is offered, or of none."""
    if not offered:
        return dict(_NULL)
    if "*" in offered or any(_SPECIAL.search(one) for one in offered):
        return {}
    parts = "|".join(".*".join(map(re.escape, one.split("*"))) for one in offered)
    return {"anyOf": [{"type": "string", "pattern": f"^({parts})$"}, _NULL]}
