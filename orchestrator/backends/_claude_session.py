"""Claude Code's session files: read from one agent's HOME and written into another's.

They are `<home>/.claude/projects/<project>/<session>.jsonl` and, for each subagent, below the
folder `<session>` a `<subpath>.jsonl` with a `<subpath>.meta.json`. Here a session maps each
subpath to its entries as JSON texts; "" is the main transcript. The metadata of a subagent is one
of its entries, in the form that the Claude Agent SDK gives it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.backends._claude_events import SESSION
from orchestrator.log import get_logger

#: All transcripts of a session together; one at the model's limit has a few MiB.
LIMIT_BYTES = 64 * 2**20
_PROJECTS = (".claude", "projects")
_TRANSCRIPT, _METADATA = ".jsonl", ".meta.json"
_METADATA_TYPE = "agent_metadata"
#: Claude Code cuts a project's name at this length and adds a hash; it finds a session in any
#: project.
_PROJECT_CHARACTERS = 200
#: The limits exist because an agent may make any number of folders, of any name and depth.
_MOST_NAMES, _MOST_LEVELS = 1000, 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Non-blocking, because opening a named pipe would block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

log = get_logger("claude")


class _OverLimitError(Exception):
    """The session is larger than LIMIT_BYTES."""


def read_session(
    home: Path, session_id: str, *, limit_bytes: int = LIMIT_BYTES
) -> Mapping[str, Sequence[str]]:
    """Return the session that an ended agent left in its HOME; empty if there is none to resume.

    The agent owns these folders. Therefore no link is followed, only regular files are read, and
    only lines that are JSON objects. A session over the limit is left out whole.
    """
    if not SESSION.fullmatch(session_id):
        return {}
    try:
        return _Reader(home, limit_bytes).session(session_id)
    except _OverLimitError:
        log.warning("session too large", sessionId=session_id, limitBytes=limit_bytes)
        return {}


def write_session(
    home: Path, worktree: Path, session_id: str, session: Mapping[str, Sequence[str]]
) -> None:
    """Write a session where `claude --resume`, started in `worktree`, finds it.

    `home` must be new, because links are followed here. Entries with an invalid path are left out.
    """
    if not SESSION.fullmatch(session_id):
        return
    project = home.joinpath(*_PROJECTS, _project(worktree))
    for subpath, entries in session.items():
        if not subpath:
            _write(project / f"{session_id}{_TRANSCRIPT}", entries)
        elif all(map(_NAME.fullmatch, subpath.split("/"))):
            path = project / session_id / subpath
            said = [entry for entry in entries if not _is_metadata(entry)]
            known = [entry for entry in entries if _is_metadata(entry)]
            _write(path.with_suffix(_TRANSCRIPT), said)
            _write(path.with_suffix(_METADATA), known[-1:])


class _Reader:
    """Reads one untrusted HOME, up to a limited number of bytes."""

    def __init__(self, home: Path, limit_bytes: int) -> None:
        self._home = home
        self._left = limit_bytes

    def session(self, session_id: str) -> dict[str, tuple[str, ...]]:
        for project in self._names(_PROJECTS):
            folder = (*_PROJECTS, project)
            if main := self._entries((*folder, f"{session_id}{_TRANSCRIPT}")):
                return {"": main, **dict(self._subagents((*folder, session_id), ()))}
        return {}

    def _subagents(
        self, session: tuple[str, ...], below: tuple[str, ...]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name in self._names((*session, *below)):
            stem = name.removesuffix(_TRANSCRIPT)
            if not _NAME.fullmatch(stem):
                continue
            steps = (*below, stem)
            if stem != name:
                if entries := self._entries((*session, *below, name)):
                    known = self._entries((*session, *below, stem + _METADATA))
                    yield "/".join(steps), (*entries, *map(_as_metadata, known))
            elif len(steps) < _MOST_LEVELS:
                yield from self._subagents(session, steps)

    def _entries(self, steps: tuple[str, ...]) -> tuple[str, ...]:
        lines = self._content(steps).split(b"\n")
        return tuple(line.decode() for line in lines if _document(line) is not None)

    def _content(self, steps: tuple[str, ...]) -> bytes:
        descriptor = self._open(steps, _FILE)
        if descriptor is None:
            return b""
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b""
            content = stream.read(self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise _OverLimitError
        return content

    def _names(self, steps: tuple[str, ...]) -> list[str]:
        descriptor = self._open(steps, _FOLDER)
        if descriptor is None:
            return []
        try:
            with os.scandir(descriptor) as listing:
                return [entry.name for entry in islice(listing, _MOST_NAMES)]
        finally:
            os.close(descriptor)

    def _open(self, steps: tuple[str, ...], flags: int) -> int | None:
        """Open a path below a folder without following a link; None if it does not exist."""
        *folders, last = (self._home.name, *steps)
        try:
            descriptor = os.open(self._home.parent, _FOLDER)
            for step, how in (*((folder, _FOLDER) for folder in folders), (last, flags)):
                parent = descriptor
                try:
                    descriptor = os.open(step, how, dir_fd=parent)
                finally:
                    os.close(parent)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return None
        return descriptor


def _document(line: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line; None if there is none, for instance if it is cut."""
    try:
        document = json.loads(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _is_metadata(entry: str) -> bool:
    return _METADATA_TYPE in entry and (_document(entry) or {}).get("type") == _METADATA_TYPE


def _as_metadata(text: str) -> str:
    facts = (_document(text) or {}).items()
    flat = {name: fact for name, fact in facts if isinstance(fact, str | int)}
    return json.dumps({**flat, "type": _METADATA_TYPE})


def _project(worktree: Path) -> str:
    real = unicodedata.normalize("NFC", str(worktree.resolve()))
    return re.sub(r"[^A-Za-z0-9]", "-", real)[:_PROJECT_CHARACTERS]


def _write(path: Path, entries: Sequence[str]) -> None:
    if entries:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
