"""Pages for browsers: static files of ours, with a policy that lets in nothing else."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from orchestrator.models.state_machine import FINAL, PHASES, STATUS_LABELS, TRANSITIONS

#: Scripts and styles from files of this server only; none inline, none from elsewhere; and a script
#: of ours cannot make markup or code of a text by mistake.
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


#: The module that is made of the state machine, so that no page has a list of phases of its own.
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
    )


@cache
def asset(name: str) -> bytes:
    """Read a file of `static/`, or make the one that is made."""
    if name == _PHASES:
        return _phases().encode()
    return (files("orchestrator.api") / "static" / name).read_bytes()


@cache
def parts() -> frozenset[str]:
    """Name the files of `static/` that pages load."""
    names = {file.name for file in (files("orchestrator.api") / "static").iterdir()}
    return frozenset(name for name in names if not name.endswith(".html")) | {_PHASES}


def page(name: str) -> Response:
    """Return a file of `static/` as an answer."""
    media_type = _TYPES[name.rpartition(".")[2]]
    headers = {"Content-Security-Policy": POLICY}
    return Response(asset(name), headers=headers, media_type=media_type)
