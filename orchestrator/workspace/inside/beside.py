"""The work beside the change in no commit: linked worktrees, nested repositories, an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from .agents import AgentsRepository
from .git import GitError, Repository
from .job import Job, Report, shown
from .refs import Linked, Named, find_git_dir, read_head, read_refs
from .retained import Retaining, Store
from .survey import GITLINK, Surveyor
from .taking import Found, Taking, write_tree

_MOST_SNAPSHOTS = 20


class Beside:
    """Makes commits of that work in the repository of the capture."""

    def __init__(
        self,
        ours: Repository,
        borrowing: Callable[[bytes], Repository],
        job: Job,
        base: Mapping[bytes, Found],
        report: Report,
    ) -> None:
        """`borrowing` returns a repository that also reads the objects of another one."""
        self._ours = ours
        self._borrowing = borrowing
        self._job = job
        self._base = base
        self._report = report
        self._snapshots = 0

    def linked(self, linked: Sequence[Linked], common: bytes) -> list[Named]:
        """Return commits of the work in linked worktrees that their own HEADs do not contain."""
        found = []
        for one in linked:
            is_gone = not os.path.lexists(os.path.join(one.folder, b".git"))
            if is_gone or self._snapshots >= _MOST_SNAPSHOTS:
                why = "gone" if is_gone else "one of too many"
                self._report.leave(one.folder, f"uncommitted files of a worktree that is {why}")
                continue
            tree = self._snapshot(one.folder, self._job.base, self._base)
            head = read_head(one.git_dir, common)
            known = [self._tree_of(common, commit) for commit in (head, self._job.base)]
            if tree is not None and tree not in known:
                tip = self.commit(tree, self._job.base, f"Uncommitted in worktree {one.name}")
                found.append(Named("worktree", f"worktrees/{one.name}/uncommitted", tip))
        return found

    def nested(self, retaining: Retaining, folder: bytes, linked: Sequence[Linked]) -> None:
        """Collect the commits of a nested repository that its own remotes do not have."""
        where = os.path.join(self._job.worktree, folder)
        git_dir = find_git_dir(where)
        if any(os.path.realpath(one.folder) == os.path.realpath(where) for one in linked):
            return
        name = shown(folder)
        try:
            tree = self._snapshot(where, b"", {})
            head = read_head(git_dir) if git_dir else None
            if tree is not None and (not git_dir or tree != self._tree_of(git_dir, head)):
                tip = self.commit(tree, None, f"What stood in {name}")
                retaining.add([Named("worktree", f"nested/{name}", tip)])
            if git_dir:
                self._add_own(retaining, git_dir, head, name)
        except (GitError, OSError) as error:
            what = "commits of a nested repository that could not be read"
            self._report.leave(f"{name}: {error}", what)

    def staged(self, agents: AgentsRepository, blobs: set[bytes]) -> list[Named]:
        """Return a commit of the work that only the agent's index contains."""
        held = blobs | {blob for _, blob in self._base.values()}
        files = {
            path: (mode, blob)
            for path, (mode, blob) in agents.staged.items()
            if blob not in held and mode != GITLINK
        }
        # Each side of a conflict gets a name of its own.
        files |= {
            path + b".unmerged-" + blob[:8]: (b"100644", blob)
            for path, blob in agents.unmerged
            if blob not in held
        }
        sound = {path: one for path, one in files.items() if self._copy(agents, path, one[1])}
        if not sound:
            return []
        tree = write_tree(self._ours, self._job.base, sound, b"index.staged")
        return [Named("tree", "index", self.commit(tree, self._job.base, "What was only staged"))]

    def commit(self, tree: bytes, parent: bytes | None, message: str) -> bytes:
        """Make a commit in the repository of the capture."""
        parents = ("-p", parent) if parent else ()
        return self._ours.run("commit-tree", tree, *parents, "-m", message).strip()

    def _add_own(self, retaining: Retaining, git_dir: bytes, head: bytes | None, name: str) -> None:
        refs = list(read_refs(git_dir, self._report))
        published = [one.commit for one in refs if one.name.startswith("refs/remotes/")]
        own = [one for one in refs if not one.name.startswith("refs/remotes/")]
        if head and all(one.commit != head for one in own):
            own.append(Named("branch", "HEAD", head))
        store = Store(self._borrowing(git_dir), self._ours)
        sound = [
            one for one, commit in zip(own, store.commits([one.commit for one in own])) if commit
        ]
        new = store.beyond({one.commit for one in sound}, published) if sound else []
        commits = {commit for commit, _ in new}
        retaining.beside(store).add(
            [
                Named(one.kind, f"nested/{name}/{one.name}", one.commit)
                for one in own
                if one.commit in commits or one not in sound
            ]
        )

    def _snapshot(self, folder: bytes, commit: bytes, base: Mapping[bytes, Found]) -> bytes | None:
        """Return the tree of a folder's files; None if it exceeds the limits."""
        self._snapshots += 1
        name = os.path.relpath(folder, self._job.worktree)
        survey = Surveyor(self._ours, folder, base, (), self._report, name)
        size = sum(_size(os.path.join(folder, path)) for path in survey.files)
        if size > self._job.unpacked_bytes:
            self._report.leave(name, f"more than {self._job.unpacked_bytes} bytes")
            return None
        changes = Taking(self._ours, folder, base, self._report, name).changes(survey)
        return write_tree(self._ours, commit, changes, b"index.%d" % self._snapshots)

    def _tree_of(self, git_dir: bytes, commit: bytes | None) -> bytes | None:
        if commit is None:
            return None
        asked = ("rev-parse", "--verify", "--quiet", commit + b"^{tree}")
        code, output, _ = self._borrowing(git_dir).attempt(*asked)
        return output.strip() if code == 0 else None

    def _copy(self, agents: AgentsRepository, path: bytes, blob: bytes) -> bool:
        code, data, _ = self._borrowing(agents.git_dir or b"").attempt("cat-file", "blob", blob)
        if code or self._ours.write_blob(data) != blob:
            self._report.leave(path, "index that cannot be read: what was only staged")
            return False
        return True


def _size(path: bytes) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
