"""Session files of any form: read from one agent's HOME and written into another's.

A session has one transcript "", whose entries are JSON texts. The first is `{"root"}`, the folder
of HOME and worktree. Then follow `{"path", "text"}` for each line of a file that is UTF-8, and
`{"path", "base64"}` for any other file. Some programs have the path of the worktree in names of
folders, with `-` for each sign that is no letter or digit; it becomes that of the new worktree.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.backends._home_files import LIMIT_BYTES, HomeFiles, OverLimitError, document_of
from orchestrator.log import get_logger

#: The limit exists because an agent may make folders of any depth.
_MOST_LEVELS = 8
_STEP = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@+=-]{1,255}")

log = get_logger("sessions")


def read_files(
    home: Path, paths: Sequence[str], session_id: str, *, limit_bytes: int = LIMIT_BYTES
) -> Mapping[str, Sequence[str]]:
    """Return the files at and below these paths of the HOME; empty if there are none.

    Files over the limit are left out with all others, since a part of a session cannot be resumed.
    """
    files = HomeFiles(home, limit_bytes)
    entries: list[str] = []
    try:
        for path in paths:
            for steps in _below(files, tuple(path.strip("/").split("/")), _MOST_LEVELS):
                entries += _entries("/".join(steps), files.content(steps))
    except OverLimitError:
        log.warning("session too large", sessionId=session_id, limitBytes=limit_bytes)
        return {}
    return {"": [json.dumps({"root": str(home.parent)}), *entries]} if entries else {}


def is_from(home: Path, session: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a session was read from a HOME with the path of this one."""
    first = next(iter(session.get("", ())), "")
    return (document_of(first) or {}).get("root") == str(home.parent)


def write_files(home: Path, paths: Sequence[str], session: Mapping[str, Sequence[str]]) -> None:
    """Write the files at and below these paths; other paths are left out.

    `home` must be new, because links are followed here.
    """
    allowed = [tuple(path.strip("/").split("/")) for path in paths]
    contents: dict[tuple[str, ...], bytes] = {}
    first, *entries = session.get("", ()) or ("",)
    before = _as_name(str((document_of(first) or {}).get("root") or home.parent))
    for entry in entries:
        document = document_of(entry) or {}
        path = str(document.get("path", "")).replace(before, _as_name(str(home.parent)))
        steps = tuple(path.split("/"))
        is_allowed = any(steps[: len(path)] == path for path in allowed)
        if is_allowed and all(map(_STEP.fullmatch, steps)):
            contents[steps] = contents.get(steps, b"") + _content(document)
    for steps, content in contents.items():
        target = home.joinpath(*steps)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _as_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "-", path)


def _below(files: HomeFiles, steps: tuple[str, ...], levels: int) -> Iterator[tuple[str, ...]]:
    """Yield the paths below a path that may be files; a folder has no content."""
    if not all(map(_STEP.fullmatch, steps)):
        return
    names = sorted(files.names(steps)) if levels else []
    if not names:
        yield steps
    for name in names:
        yield from _below(files, (*steps, name), levels - 1)


def _entries(path: str, content: bytes) -> Iterator[str]:
    try:
        lines = content.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        yield json.dumps({"path": path, "base64": base64.b64encode(content).decode()})
        return
    for line in lines:
        yield json.dumps({"path": path, "text": line})


def _content(document: Mapping[str, object]) -> bytes:
    text, encoded = document.get("text"), document.get("base64")
    if isinstance(text, str):
        return text.encode(errors="replace")
    try:
        return base64.b64decode(encoded) if isinstance(encoded, str) else b""
    except (binascii.Error, ValueError):
        return b""
