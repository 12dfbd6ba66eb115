"""Workspaces whose work could not be stored: moved aside on this host's disk until it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.log import get_logger
from orchestrator.settings import Settings
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.disk import locked, remove_tree
from orchestrator.workspace.origin import Origin, read_origin, write_document
from orchestrator.workspace.worktree import Workspace

#: The name is hidden, so that the removal of agents' folders skips it.
_FOLDER = ".unsaved"
_ORIGIN, _RECORD, _BUNDLE, _WORKSPACE = "origin.json", "record.json", "change.bundle", "workspace"

log = get_logger("workspace")


class SaveRecord(BaseModel):
    """The record of a workspace that was set aside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    #: The instants of the move and of the last attempt to store it, in seconds since 1970.
    since_s: float
    tried_at_s: float
    #: The change is stored, but the agent's state does not say so yet.
    is_stored: bool = False
    #: Whether the agent's state names the workspace.
    is_reported: bool = False


@dataclass(frozen=True)
class UnsavedWork:
    """One workspace that was set aside, and the bundle of its change if one exists."""

    folder: Path
    origin: Origin
    record: SaveRecord

    @property
    def workspace(self) -> Workspace:
        """The agent's folders in the state in which the agent left them."""
        return Workspace(self.folder / _WORKSPACE)

    @property
    def path(self) -> Path:
        """The folder to look in: the worktree, or its parent if the agent moved the worktree."""
        workspace = self.workspace
        return workspace.worktree if workspace.worktree.is_dir() else workspace.root

    def bundle(self) -> bytes | None:
        """Read the bundle that could not be stored; None if no bundle could be made."""
        with suppress(FileNotFoundError):
            return (self.folder / _BUNDLE).read_bytes()
        return None

    def write(self, note: SaveRecord) -> None:
        """Replace the record; on a full disk the existing record remains."""
        try:
            write_document(self.folder / _RECORD, note)
        except OSError as error:
            log.warning("record not written", path=str(self.folder), reason=str(error))


class Unsaved:
    """The workspaces set aside on this host, one folder each: `<agentId>.<attempt>`."""

    def __init__(self, settings: Settings, workspaces: Workspaces) -> None:
        self._folder = settings.workspaces_dir / _FOLDER
        self._workspaces = workspaces

    def set_aside(
        self, origin: Origin, reason: str, bundle: bytes | None, *, now_s: float
    ) -> UnsavedWork:
        """Move an agent's workspace to a folder that no cleanup removes.

        The caller holds the workspace. It works on a full disk: the move needs no space, and a
        record or bundle that cannot be written is left out.

        Raises:
            OSError: the move failed.
        """
        folder = self._folder / f"{origin.agent_id}.{origin.attempt}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._workspaces.move(origin.agent_id, folder / _WORKSPACE, folder / _ORIGIN)
        note = SaveRecord(reason=reason, since_s=now_s, tried_at_s=now_s)
        work = UnsavedWork(folder, origin, note)
        work.write(work.record)
        if bundle is not None:
            making = folder / f"{_BUNDLE}.new"
            try:
                making.write_bytes(bundle)
                making.replace(folder / _BUNDLE)
            except OSError as error:
                log.warning("bundle not written", path=str(folder), reason=str(error))
        return work

    def all(self, agent_id: str = "") -> Iterator[UnsavedWork]:
        """Return the workspaces set aside, of one agent or of all; the oldest attempt first."""
        if not self._folder.is_dir():
            return
        for folder in sorted(self._folder.glob(f"{agent_id or '*'}.*"), key=_by_attempt):
            if folder.is_dir() and (origin := read_origin(folder / _ORIGIN)):
                yield UnsavedWork(folder, origin, _read_record(folder))

    def unreadable(self) -> tuple[Path, ...]:
        """Return the folders whose origin cannot be read, so that no program can store them."""
        return tuple(
            folder
            for folder in sorted(self._folder.glob("*.*/"))
            if read_origin(folder / _ORIGIN) is None
        )

    @contextmanager
    def held(self, work: UnsavedWork) -> Iterator[bool]:
        """Hold one of them; yields False if another process holds it, or it does not exist."""
        try:
            with locked(work.folder.with_name(f"{work.folder.name}.lock")):
                yield work.folder.is_dir()
        except BlockingIOError:
            yield False

    def remove(self, work: UnsavedWork) -> int:
        """Remove one of them, which the caller holds; returns the bytes freed.

        Raises:
            GitFailed: some files could not be removed.
        """
        freed = remove_tree(work.folder)
        work.folder.with_name(f"{work.folder.name}.lock").unlink(missing_ok=True)
        return freed


def _read_record(folder: Path) -> SaveRecord:
    try:
        return SaveRecord.model_validate_json((folder / _RECORD).read_bytes())
    except (OSError, ValidationError):
        # The disk was full when the record was to be written.
        since_s = folder.stat().st_mtime
        reason = "Its note could not be written."
        return SaveRecord(reason=reason, since_s=since_s, tried_at_s=since_s)


def _by_attempt(folder: Path) -> tuple[str, int]:
    agent_id, _, attempt = folder.name.partition(".")
    return agent_id, int(attempt) if attempt.isdecimal() else 0
