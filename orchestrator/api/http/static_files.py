"""Pages for browsers: static files, with a policy that allows no other content."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from orchestrator.models import AgentType, Phase
from orchestrator.models.state_machine import FINAL, PHASES, STATUS_LABELS, TRANSITIONS

#: Scripts and styles only from files of this server, none inline; and a script cannot turn text
#: into markup or code by mistake.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}


#: The generated module of the state machine: no page has its own list of phases or agent types.
_PHASES = "phases.js"


def _phases() -> str:
    phases = {
        phase: {"label": traits.label, "isWaiting": traits.is_waiting}
        for phase, traits in PHASES.items()
    }
    statuses = {
        status: {"label": STATUS_LABELS[status], "isFinal": status in FINAL}
        for status in TRANSITIONS
    }
    return (
        "// Made by the server of its state machine.\n"
        f"export const PHASES = {json.dumps(phases)};\n"
        f"export const STATUSES = {json.dumps(statuses)};\n"
        f"export const FIRST_PHASE = {json.dumps(Phase.QUEUED)};\n"
        f"export const AGENT_TYPES = {json.dumps(list(AgentType))};\n"
        f"export const PHASE_OF_GATES = {json.dumps(Phase.GATING)};\n"
    )


@cache
def asset(name: str) -> bytes:
    """Return a file of `static/`, or the generated module."""
    if name == _PHASES:
        return _phases().encode()
    return (files("orchestrator.api") / "static" / name).read_bytes()


@cache
def parts() -> frozenset[str]:
    """Return the names of the files that pages load."""
    names = {file.name for file in (files("orchestrator.api") / "static").iterdir()}
    return frozenset(name for name in names if not name.endswith(".html")) | {_PHASES}


def page(name: str) -> Response:
    """Return a file of `static/` as a response."""
    media_type = _TYPES[name.rpartition(".")[2]]
    headers = {"Content-Security-Policy": POLICY}
    return Response(asset(name), headers=headers, media_type=media_type)
