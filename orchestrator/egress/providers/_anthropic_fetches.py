"""Finds requests that make the model's provider fetch or run something for an agent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.egress.providers._bodies import objects_in

#: Tools that the client runs; the provider runs all others, and it has network access.
_OWN_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_[0-9]+")
#: The arguments of a tool call, which only the tool reads.
_ARGUMENTS = frozenset({"input"})


def _kind(tool: object) -> object:
    return tool.get("type", "custom") if isinstance(tool, dict) else None


def fetches(document: dict[str, object]) -> Iterator[str]:
    """Yield what a request to the Messages API makes the provider fetch or run."""
    if document.get("mcp_servers"):
        yield "ask servers of tools: mcp_servers"
    tools = document.get("tools") or []
    for kind in map(_kind, tools) if isinstance(tools, list) else [None]:
        if not (isinstance(kind, str) and _OWN_TOOLS.fullmatch(kind)):
            yield f"run a tool: {kind!s:.80}"
    for part in objects_in(document, opaque=_ARGUMENTS):
        source = part.get("source")
        if isinstance(source, dict) and source.get("type") == "url":
            yield f"fetch an address: {source.get('url')!s:.80}"
