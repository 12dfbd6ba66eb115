"""The work that this host set aside because it could not be stored, for display and export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.errors import ChangeMissing, GitFailed
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.git import Git
from orchestrator.workspace.host_program import run_program
from orchestrator.workspace.unsaved import Unsaved, UnsavedWork

#: The formats of an export, which are the suffixes of its files too.
BUNDLE, ARCHIVE = "bundle", "tar.gz"
_PACK_TIMEOUT_S = 3600.0
#: GNU tar: some files could not be read, or changed meanwhile; the archive has all the others.
_PARTLY = (1, 2)


def export_set_aside(
    settings: Settings, agent_id: str, file_of: Callable[[int, str], Path]
) -> Iterator[tuple[Path, str, str]]:
    """Write the work of an agent that this host set aside; yields file, format and remark of each.

    The file is the bundle of the change if one could be made; otherwise an archive of the folder,
    which contains the worktree, its repository, HOME and TMPDIR. `file_of` returns the name of a
    file from the attempt and the format, BUNDLE or ARCHIVE.

    Raises:
        GitFailed: a file cannot be written.
    """
    unsaved = Unsaved(settings, Workspaces(settings, Git(settings)))
    for work in unsaved.all(agent_id):
        with unsaved.held(work) as is_there:
            if not is_there:
                continue
            bundle = work.bundle()
            written = ARCHIVE if bundle is None else BUNDLE
            file = file_of(work.origin.attempt, written)
            if bundle is None:
                yield file, written, _pack(work, file.absolute())
            else:
                file.write_bytes(bundle)
                yield file, written, ""


def missing(agent: AgentState, error: ChangeMissing) -> ChangeMissing:
    """Return the error for an agent without a stored change: it says where its work is."""
    if (work := agent.not_saved) is None:
        return error
    msg = f"The work of attempt {work.attempt} is not stored: {work.host}:{work.path} has it."
    action = f"On {work.host}, run `orch export {agent.agent_id}`. The reason: {work.reason}"
    return ChangeMissing(msg, action=action)


def _pack(work: UnsavedWork, file: Path) -> str:
    """Write an archive of the folder; returns a remark about what it does not contain."""
    file.touch(mode=0o600)
    folder = work.workspace.root
    argv = ("tar", "--create", "--gzip", "--file", str(file), "--directory", str(folder.parent))
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    try:
        ended = run_program((*argv, folder.name), env=environment, timeout_s=_PACK_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        msg = f"{folder} cannot be packed: {error}."
        raise GitFailed(msg, action=f"Copy the folder {folder}.") from error
    if ended.exit_code not in (0, *_PARTLY) or not file.stat().st_size:
        msg = f"{folder} cannot be packed: {ended.stderr.strip()}"
        raise GitFailed(msg, action=f"Copy the folder {folder}.")
    return ended.stderr.strip() if ended.exit_code else ""
