"""The workspaces of this host: create, hold, move, remove; and the spare of the newest commit."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.errors import (
    ChangeRefused,
    ChangeTooLarge,
    FilterUnsupported,
    GitFailed,
    RequestInvalid,
    WorkspaceInUse,
)
from orchestrator.log import get_logger
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.settings import Settings
from orchestrator.workspace.bundle import read_heads, receive, receive_whole, restore_refs
from orchestrator.workspace.checkout_refs import write_origin, write_packed
from orchestrator.workspace.disk import (
    free_bytes,
    lack_of_space,
    locked,
    make_folder_of_trees,
    naming_full_disk,
    remove_tree,
)
from orchestrator.workspace.filters import filtered_files
from orchestrator.workspace.git import IDENTITY_EMAIL, IDENTITY_NAME, Git, showable
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.origin import Origin, read_origin, write_document
from orchestrator.workspace.submodules import Submodule, Submodules
from orchestrator.workspace.tags import packed_tags
from orchestrator.workspace.worktree import (
    Workspace,
    check_out,
    keep_index,
    layers_of,
    materialise,
)

#: The file in `tmp` that contains a refused change.
EARLIER = "earlier.bundle"
#: The branch of an agent in its workspace, before its id; usually that of the delivery too.
AGENT_PREFIX = "agent/"
#: A worker that has to release a workspace first saves the work.
_REMOVE_WAIT_S = 60.0

log = get_logger("workspace")


def check_agent_id(agent_id: str) -> str:
    """Return an agent id that is safe as a file name and in a ref.

    Raises:
        RequestInvalid: it is not safe.
    """
    if not AGENT_ID.fullmatch(agent_id):
        raise RequestInvalid((("agentId", "must consist of letters, digits, - and _"),))
    return agent_id


def agent_ref(agent_id: str, prefix: str = AGENT_PREFIX) -> str:
    """Return the full ref name of the agent's own branch."""
    return f"refs/heads/{prefix}{check_agent_id(agent_id)}"


class Workspaces:
    """The workspaces of this host."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._folder = settings.workspaces_dir
        self._low_water_bytes = settings.disk_low_water_bytes
        self._stored = frozenset(settings.stored_filters)
        self._has_refs = settings.checkout_refs == "all"
        #: The files that each external filter converts, by base commit.
        self._filters: dict[str, dict[str, list[str]]] = {}
        self._git = git
        self._submodules = Submodules(settings, git)
        self._wait_s = settings.git_timeout_s
        # Only the process that made a spare takes it: after a power failure, or a disk that failed
        # and was mounted again, a checked-out file may be empty.
        self._maker = secrets.token_hex(8)

    def create(
        self,
        base: Base,
        agent_id: str,
        *,
        attempt: int = 0,
        change: bytes | None = None,
        is_uncommitted: bool = False,
        may_be_refused: bool = False,
    ) -> Workspace:
        """Make the agent's workspace at exactly `base.commit`, on its own branch.

        With the bundle of a change since that commit, the workspace starts at that change. If the
        change is to be split, its tree is uncommitted on the base. The commits beside the change
        get their names back. A bundle that is refused and may be refused is stored in the
        workspace's `tmp` as EARLIER, for the agent to read; the orchestrator's git does not read
        it. Without a change the spare of the base is used if it exists: then no git runs, only a
        rename and two small writes. The remains of a lost attempt are removed first.

        Raises:
            ChangeRefused: `bundle.receive` refuses the change.
            ChangeTooLarge: it is over the limits of `bundle.receive`.
            FilterUnsupported: an external filter converts files of the commit.
            DiskFull: the disk is full.
            GitFailed: git could not check the commit out.
        """
        ref = agent_ref(agent_id)
        self._check_filters(base)
        workspace = Workspace(self._folder / agent_id)
        remove_tree(workspace.root)
        remove_tree(workspace.layers)
        try:
            with naming_full_disk(self._folder):
                make_folder_of_trees(self._folder)
                write_document(
                    self._origin(agent_id),
                    Origin(
                        agent_id=agent_id,
                        attempt=attempt,
                        mirror=base.mirror,
                        base_commit=base.commit,
                    ),
                )
                if not _claim(self._spare(base), workspace.root):
                    self._build(workspace, base)
                git_dir = workspace.worktree / ".git"
                if self._has_refs:
                    # Not part of a spare, because two branches may have the same commit.
                    write_origin(git_dir, base)
                commit = base.commit
                if change is not None:
                    try:
                        commit = self._lay_out(workspace, base, change, ref)
                    except (ChangeRefused, ChangeTooLarge) as error:
                        if not may_be_refused:
                            raise
                        log.warning("change not laid out", agentId=agent_id, error=str(error))
                        (workspace.tmp / EARLIER).write_bytes(change)
                    commit = base.commit if is_uncommitted else commit
                (git_dir / ref).parent.mkdir(exist_ok=True)
                (git_dir / ref).write_text(f"{commit}\n", encoding="ascii")
                (git_dir / "HEAD").write_text(f"ref: {ref}\n", encoding="ascii")
        except BaseException:
            self._remove(agent_id)
            raise
        return workspace

    def left(self, agent_id: str) -> tuple[Workspace, Origin] | None:
        """Return the origin of an attempt that left unsaved work here; None if there is none."""
        root, origin = self._folder / agent_id, read_origin(self._origin(agent_id))
        if origin is None or not root.is_dir():
            return None
        return Workspace(root), origin

    def mark_saved(self, agent_id: str) -> None:
        """Record that the agent's workspace contains no unsaved work."""
        # A removal also works on a full disk; a write would not.
        self._origin(agent_id).unlink(missing_ok=True)

    def move(self, agent_id: str, root: Path, origin: Path) -> None:
        """Move the agent's workspace and its origin to another folder of the same disk.

        Raises:
            OSError: the move failed.
        """
        # The origin is moved first, because it identifies the workspace.
        self._origin(agent_id).rename(origin)
        try:
            (self._folder / agent_id).rename(root)
        except OSError:
            origin.rename(self._origin(agent_id))
            raise

    def prepare_spare(self, base: Base) -> None:
        """Prepare one untouched workspace of this commit for the next `create`.

        Each mirror has one spare. A spare of an older commit, or one that a killed worker did not
        finish, is removed. The spare only saves time, so a failure is logged and never raised. No
        spare is made if the disk is low.
        """
        if self.lacks_space():
            return
        spare = self._spare(base)
        try:
            make_folder_of_trees(spare.parent)
            with locked(spare.parent.with_suffix(".lock")):
                if spare.exists():
                    return
                making = Workspace(spare.parent / f"making.{secrets.token_hex(8)}")
                remove_tree(making.root)
                for stale in spare.parent.iterdir():
                    # It is renamed first, so that no worker uses a half-removed spare.
                    _claim(stale, making.root)
                    remove_tree(making.root)
                try:
                    self._build(making, base)
                    making.root.rename(spare)
                except BaseException:
                    remove_tree(making.root)
                    raise
        except BlockingIOError:
            return  # another is making it
        except (GitFailed, OSError) as error:
            log.warning("no spare workspace", commit=base.commit, error=str(error))

    @contextmanager
    def held(self, agent_id: str) -> Iterator[None]:
        """Hold the agent's workspace, so that `remove` waits until its work is saved.

        Raises:
            WorkspaceInUse: the stopped worker of an earlier attempt still holds the workspace.
        """
        make_folder_of_trees(self._folder)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._lock(agent_id), wait_s=self._wait_s))
            except BlockingIOError as error:
                msg = f"A stopped worker of this host has agent {agent_id}'s workspace."
                raise WorkspaceInUse(msg) from error
            yield

    def is_held(self, agent_id: str) -> bool:
        """Whether a worker of this host holds the agent's workspace."""
        try:
            with locked(self._lock(agent_id)):
                return False
        except BlockingIOError:
            return True

    def remove(
        self,
        agent_id: str,
        *,
        wait_s: float = _REMOVE_WAIT_S,
        first: Callable[[], object] = lambda: None,
    ) -> int:
        """Remove the agent's workspace and return the bytes freed; repeatable.

        `first` is called while the workspace is held; if it raises, the workspace is not removed.

        Raises:
            GitFailed: some files could not be removed, or a worker still works in it.
        """
        check_agent_id(agent_id)
        root, lock = self._folder / agent_id, self._lock(agent_id)
        layers = layers_of(root)
        if not any(map(os.path.lexists, (root, layers, lock, self._origin(agent_id)))):
            return 0
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(lock, wait_s=wait_s))
            except BlockingIOError as error:
                msg = f"{root} is still in use by the worker that ran the agent."
                raise GitFailed(msg, action="It is tried again.") from error
            first()
            freed = self._remove(agent_id)
            lock.unlink(missing_ok=True)
            return freed

    def without_content(self, base: Base) -> tuple[Submodule, ...]:
        """Return the submodules of a commit that are empty folders in a workspace."""
        return self._submodules.without_content(base)

    def free_bytes(self) -> int:
        """Return the free bytes of the disk of the workspaces."""
        return free_bytes(self._folder)

    def lacks_space(self) -> str:
        """Return why no agent should start here now; empty if one may start."""
        return lack_of_space(self._folder, self._low_water_bytes)

    def _lay_out(self, workspace: Workspace, base: Base, change: bytes, own_ref: str) -> str:
        """Check a change out with the commits beside it, and return its commit."""
        # No program of the agent has run here yet, so the orchestrator's git may still run in it.
        git_dir = workspace.worktree / ".git"
        received = receive(self._git, git_dir, base.commit, change, may_be_empty=True)
        check_out(self._git, workspace.worktree, received.commit)
        # A pin that the agent moved may be on no remote yet.
        self._submodules.lay_out(
            workspace.worktree,
            received.commit,
            base.repository,
            base_commit=base.commit,
            may_be_missing=True,
        )
        keep_index(workspace)
        heads = read_heads(change)
        if heads.beside:
            receive_whole(self._git, git_dir, change)
            restore_refs(git_dir, heads, own_ref)
        return received.commit

    def _check_filters(self, base: Base) -> None:
        """Refuse a commit with externally filtered files; each commit is checked once."""
        if base.commit not in self._filters:
            found: dict[str, list[str]] = {}
            for path, one in filtered_files(self._git, base.mirror, base.commit).items():
                found.setdefault(one.filter, []).append(path)
            self._filters[base.commit] = found
        for name, paths in self._filters[base.commit].items():
            if name not in self._stored:
                msg = f"The filter {name} stores {len(paths)} files, such as {showable(paths[0])}."
                raise FilterUnsupported(msg)

    def _lock(self, agent_id: str) -> Path:
        return self._folder / f"{check_agent_id(agent_id)}.lock"

    def _origin(self, agent_id: str) -> Path:
        return self._folder / f"{check_agent_id(agent_id)}.origin"

    def _remove(self, agent_id: str) -> int:
        workspace = Workspace(self._folder / agent_id)
        freed = remove_tree(workspace.root) + remove_tree(workspace.layers)
        self._origin(agent_id).unlink(missing_ok=True)
        return freed

    def _spare(self, base: Base) -> Path:
        return self._folder / ".spare" / base.mirror.stem / f"{base.commit}.{self._maker}"

    def _build(self, workspace: Workspace, base: Base) -> None:
        workspace.root.mkdir(mode=0o700)
        workspace.home.mkdir()
        workspace.tmp.mkdir()
        materialise(self._git, workspace.worktree, source=base.mirror, commit=base.commit)
        self._submodules.lay_out(workspace.worktree, base.commit, base.repository)
        keep_index(workspace)
        if self._has_refs:
            tags = packed_tags(self._git, base.mirror, base.commit)
            write_packed(workspace.worktree / ".git", tags)
        with (workspace.worktree / ".git" / "config").open("a", encoding="ascii") as config:
            config.write(f"[user]\n\tname = {IDENTITY_NAME}\n\temail = {IDENTITY_EMAIL}\n")


def _claim(source: Path, target: Path) -> bool:
    """Rename atomically; returns False if the source does not exist."""
    try:
        os.rename(source, target)  # noqa: PTH104 - raises FileNotFoundError for the source only
    except FileNotFoundError:
        return False
    return True
