"""Finds requests that make the model's provider fetch or run something for an agent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.egress.providers._bodies import fetch_refused, parsed

#: Tools that the client runs; the provider runs all others, and it has network access.
_OWN_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_[0-9]+")
#: The arguments of a tool call, which only the tool reads.
_ARGUMENTS = "input"


def refuse_fetches(body: bytes) -> None:
    """Check the body of a request to the Messages API.

    Raises:
        Refused: it makes the provider connect elsewhere, or it is ambiguous.
    """
    if reason := next(_found(parsed(body)), None):
        raise fetch_refused(reason)


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
