"""Pages for browsers: static files of ours, with a policy that lets in nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.responses import Response

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


@cache
def asset(name: str) -> bytes:
    """Read a file of `static/`."""
    return (files("orchestrator.api") / "static" / name).read_bytes()


@cache
def parts() -> frozenset[str]:
    """Name the files of `static/` that pages load."""
    names = {file.name for file in (files("orchestrator.api") / "static").iterdir()}
    return frozenset(name for name in names if not name.endswith(".html"))


def page(name: str) -> Response:
    """Return a file of `static/` as an answer."""
    media_type = _TYPES[name.rpartition(".")[2]]
    headers = {"Content-Security-Policy": POLICY}
    return Response(asset(name), headers=headers, media_type=media_type)
