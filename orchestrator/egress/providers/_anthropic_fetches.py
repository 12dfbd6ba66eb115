"""Finds requests that make the model's provider fetch or run something for an agent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from orchestrator.egress.connection import Refused

#: Tools that the client runs; the provider runs all others, and it has network access.
_OWN_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_[0-9]+")
#: A million tokens of code have fewer parts. So many parts take up to 150 MB during the check.
_MOST_PARTS = 2_000_000
#: The arguments of a tool call, which only the tool reads.
_ARGUMENTS = "input"


def refuse_fetches(body: bytes) -> None:
    """Check the body of a request to the Messages API.

    Raises:
        Refused: it makes the provider connect elsewhere, or it is ambiguous.
    """
    if reason := next(_found(_parsed(body)), None):
        msg = f"the model's provider may not {reason} (ORCHESTRATOR_EGRESS_MODEL_FETCHES)"
        raise Refused(msg)


def _parsed(body: bytes) -> dict[str, object]:
    if sum(map(body.count, (b"{", b"[", b","))) > _MOST_PARTS:
        msg = "the body has too many parts"
        raise Refused(msg)
    try:
        document = json.loads(body.decode(), object_pairs_hook=_with_names_once)
    except (ValueError, RecursionError) as error:
        msg = "the body is no JSON, or not without doubt"
        raise Refused(msg) from error
    if not isinstance(document, dict):
        msg = "the body is no JSON object"
        raise Refused(msg)
    return document


def _with_names_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two equal keys, the provider might use the one that was not checked.
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a name occurs twice"
        raise ValueError(msg)
    return found


def _kind(tool: object) -> object:
    return tool.get("type", "custom") if isinstance(tool, dict) else None


def _found(document: dict[str, object]) -> Iterator[str]:
    if document.get("mcp_servers"):
        yield "ask servers of tools: mcp_servers"
    tools = document.get("tools") or []
    for kind in map(_kind, tools) if isinstance(tools, list) else [None]:
        if not (isinstance(kind, str) and _OWN_TOOLS.fullmatch(kind)):
            yield f"run a tool: {kind!s:.80}"
    waiting: list[object] = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            source = part.get("source")
            if isinstance(source, dict) and source.get("type") == "url":
                yield f"fetch an address: {source.get('url')!s:.80}"
            waiting += (inner for name, inner in part.items() if name != _ARGUMENTS)
