"""Codex's session files: read from one agent's HOME and written into another's.

A thread is `<home>/.codex/sessions/<year>/<month>/<day>/rollout-<instant>-<thread>.jsonl`; Codex
finds it by the thread id in any of these folders. Here a session has the one transcript "".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.backends._codex_events import THREAD
from orchestrator.backends._home_files import (
    LIMIT_BYTES,
    HomeFiles,
    OverLimitError,
    document_of,
    write_lines,
)
from orchestrator.log import get_logger

_SESSIONS = (".codex", "sessions")
#: The depth of the folders of year, month and day.
_LEVELS = 3
#: Codex reads no instant from the name, but wants one in it.
_FOLDER, _INSTANT = ("2026", "01", "01"), "2026-01-01T00-00-00"

log = get_logger("codex")


def read_session(
    home: Path, thread_id: str, *, limit_bytes: int = LIMIT_BYTES
) -> Mapping[str, Sequence[str]]:
    """Return the session that an ended agent left in its HOME; empty if there is none to resume.

    A session over the limit is left out whole.
    """
    if not THREAD.fullmatch(thread_id):
        return {}
    files = HomeFiles(home, limit_bytes)
    try:
        for path in _rollouts(files, _SESSIONS, _LEVELS):
            if path[-1].endswith(f"-{thread_id}.jsonl") and (entries := files.lines(path)):
                return {"": entries}
    except OverLimitError:
        log.warning("session too large", sessionId=thread_id, limitBytes=limit_bytes)
    return {}


def write_session(home: Path, thread_id: str, session: Mapping[str, Sequence[str]]) -> None:
    """Write a session where `codex exec resume` finds it.

    `home` must be new, because links are followed here. The counts of tokens so far become 0, so
    that the resumed turn reports its own tokens; the earlier attempts have reported theirs.
    """
    if THREAD.fullmatch(thread_id):
        path = home.joinpath(*_SESSIONS, *_FOLDER, f"rollout-{_INSTANT}-{thread_id}.jsonl")
        write_lines(path, [_without_total(entry) for entry in session.get("", ())])


def has_session(home: Path, thread_id: str) -> bool:
    """Return whether the HOME has this session; Codex would end with an error without it."""
    found = home.joinpath(*_SESSIONS).glob(f"*/*/*/rollout-*-{thread_id}.jsonl")
    return THREAD.fullmatch(thread_id) is not None and any(found)


def _rollouts(files: HomeFiles, steps: tuple[str, ...], levels: int) -> Sequence[tuple[str, ...]]:
    found = [(*steps, name) for name in sorted(files.names(steps))]
    if not levels:
        return found
    return [path for folder in found for path in _rollouts(files, folder, levels - 1)]


def _without_total(entry: str) -> str:
    if "total_token_usage" not in entry:
        return entry
    document = document_of(entry) or {}
    payload = document.get("payload")
    info = payload.get("info") if isinstance(payload, dict) else None
    total = info.get("total_token_usage") if isinstance(info, dict) else None
    if not isinstance(info, dict) or not isinstance(total, dict):
        return entry
    info["total_token_usage"] = dict.fromkeys(total, 0)
    return json.dumps(document)
