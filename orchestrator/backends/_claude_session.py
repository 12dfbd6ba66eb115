"""Claude Code's session files: read from one agent's HOME and written into another's.

They are `<home>/.claude/projects/<project>/<session>.jsonl` and, for each subagent, below the
folder `<session>` a `<subpath>.jsonl` with a `<subpath>.meta.json`. Here a session maps each
subpath to its entries as JSON texts; "" is the main transcript. The metadata of a subagent is one
of its entries, in the form that the Claude Agent SDK gives it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.backends._claude_events import SESSION
from orchestrator.backends._home_files import (
    LIMIT_BYTES,
    HomeFiles,
    OverLimitError,
    document_of,
    write_lines,
)
from orchestrator.log import get_logger

_PROJECTS = (".claude", "projects")
_TRANSCRIPT, _METADATA = ".jsonl", ".meta.json"
_METADATA_TYPE = "agent_metadata"
#: Claude Code cuts a project's name at this length and adds a hash; it finds a session in any
#: project.
_PROJECT_CHARACTERS = 200
#: The limit exists because an agent may make folders of any depth.
_MOST_LEVELS = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

log = get_logger("claude")


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
    except OverLimitError:
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
            write_lines(project / f"{session_id}{_TRANSCRIPT}", entries)
        elif all(map(_NAME.fullmatch, subpath.split("/"))):
            path = project / session_id / subpath
            said = [entry for entry in entries if not _is_metadata(entry)]
            known = [entry for entry in entries if _is_metadata(entry)]
            write_lines(path.with_suffix(_TRANSCRIPT), said)
            write_lines(path.with_suffix(_METADATA), known[-1:])


class _Reader:
    """Reads one untrusted HOME, up to a limited number of bytes."""

    def __init__(self, home: Path, limit_bytes: int) -> None:
        self._files = HomeFiles(home, limit_bytes)

    def session(self, session_id: str) -> dict[str, tuple[str, ...]]:
        for project in self._files.names(_PROJECTS):
            folder = (*_PROJECTS, project)
            if main := self._files.lines((*folder, f"{session_id}{_TRANSCRIPT}")):
                return {"": main, **dict(self._subagents((*folder, session_id), ()))}
        return {}

    def _subagents(
        self, session: tuple[str, ...], below: tuple[str, ...]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name in self._files.names((*session, *below)):
            stem = name.removesuffix(_TRANSCRIPT)
            if not _NAME.fullmatch(stem):
                continue
            steps = (*below, stem)
            if stem != name:
                if entries := self._files.lines((*session, *below, name)):
                    known = self._files.lines((*session, *below, stem + _METADATA))
                    yield "/".join(steps), (*entries, *map(_as_metadata, known))
            elif len(steps) < _MOST_LEVELS:
                yield from self._subagents(session, steps)


def _is_metadata(entry: str) -> bool:
    return _METADATA_TYPE in entry and (document_of(entry) or {}).get("type") == _METADATA_TYPE


def _as_metadata(text: str) -> str:
    facts = (document_of(text) or {}).items()
    flat = {name: fact for name, fact in facts if isinstance(fact, str | int)}
    return json.dumps({**flat, "type": _METADATA_TYPE})


def _project(worktree: Path) -> str:
    real = unicodedata.normalize("NFC", str(worktree.resolve()))
    return re.sub(r"[^A-Za-z0-9]", "-", real)[:_PROJECT_CHARACTERS]
