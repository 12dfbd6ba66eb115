"""The work beside the change in no commit: linked worktrees, nested repositories, an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from .git import GitError, Repository
from .job import Job, Report, shown
from .refs import Linked, Named, read_head, read_linked, read_passing, read_refs
from .remotes import lasting_remotes
from .repositories import (
    clones,
    common_dir,
    find_git_dir,
    open_repository,
    submodules,
    unread_format,
)
from .retained import Retaining, Store, own_commits
from .staged import EMPTY_TREE, StagedWork
from .survey import Surveyor
from .taking import Found, Taking, read_tree, write_tree

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
        self._staged = StagedWork(ours, borrowing, job, base, report)
        self._snapshots = self._asked = 0
        #: The git folders whose commits were collected.
        self._seen: set[bytes] = set()
        #: Folders of repositories that were found in others and are to be visited.
        self._inner: list[bytes] = []
        #: The real paths of the folders whose work was collected.
        self._visited: set[bytes] = set()

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

    def nested(
        self, retaining: Retaining, folders: Iterable[bytes], linked: Sequence[Linked]
    ) -> None:
        """Collect the work in nested repositories, and in the repositories nested in them."""
        self._visited |= {os.path.realpath(one.folder) for one in linked}
        self._inner = [os.path.join(self._job.worktree, one) for one in folders] + self._inner
        self._visit_inner(retaining)

    def _visit_inner(self, retaining: Retaining) -> None:
        """Collect the work in the repositories that others came across."""
        while self._inner:
            where = self._inner.pop(0)
            real = os.path.realpath(where)
            if real in self._visited:
                continue
            self._visited.add(real)
            self._repository(retaining, where, find_git_dir(where), self._name_of(where))

    def _name_of(self, folder: bytes) -> str:
        below = os.path.relpath(folder, self._job.worktree)
        if below.startswith(b"../"):
            return f"outside/{shown(os.path.relpath(folder, self._job.root))}"
        return f"nested/{shown(below)}"

    def submodules(self, retaining: Retaining, git_dir: bytes) -> None:
        """Collect the commits of submodules that have no folder any more."""
        for name, where in submodules(git_dir):
            if os.path.realpath(where) not in self._seen:
                self._commits(retaining, where, f"modules/{shown(name)}")
        self._visit_inner(retaining)

    def outside(self, retaining: Retaining, git_dir: bytes | None) -> None:
        """Collect the work in the agent's clones of this repository in its HOME or TMPDIR."""
        own = {os.path.realpath(common_dir(git_dir))} if git_dir else set()
        for folder, found in self.clones():
            real = os.path.realpath(folder)
            if os.path.realpath(common_dir(found)) not in own and real not in self._visited:
                self._visited.add(real)
                name = self._name_of(folder)
                self._repository(retaining, folder, found, name, self._job.base, self._base)
        self._visit_inner(retaining)

    def clones(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield folder and git folder of each repository outside the worktree that has the base."""
        for folder in clones(self._job.root, self._job.worktree, self._report):
            if folder.startswith(self._job.scratch):
                continue
            git_dir = find_git_dir(folder) or folder
            open_repository(git_dir)
            if self._has_base(git_dir):
                yield folder, git_dir
            elif os.path.realpath(folder) not in self._visited:
                what = "repository outside the worktree that is no clone of this one"
                self._report.leave(os.path.relpath(folder, self._job.root), what)

    def staged(
        self, git_dir: bytes, linked: Sequence[Linked], blobs: Collection[bytes]
    ) -> list[Named]:
        """Return commits of the work that only the indexes of the agent's worktrees contain."""
        base = self._job.base
        found = self._staged.read(git_dir, base, lambda: blobs, "index", parent=base)
        for one in linked[:_MOST_SNAPSHOTS]:
            name = f"worktrees/{one.name}/index"
            found += self._staged.read(one.git_dir, base, lambda: blobs, name, parent=base)
        return found

    def commit(self, tree: bytes, parent: bytes | None, message: str) -> bytes:
        """Make a commit in the repository of the capture."""
        parents = ("-p", parent) if parent else ()
        return self._ours.run("commit-tree", tree, *parents, "-m", message).strip()

    def _repository(
        self,
        retaining: Retaining,
        where: bytes,
        git_dir: bytes | None,
        name: str,
        commit: bytes = b"",
        base: Mapping[bytes, Found] | None = None,
    ) -> None:
        """Collect the files of a repository, compared to `base`, its index and its own commits."""
        tree = None
        try:
            tree = None if where == git_dir else self._snapshot(where, commit, base or {})
            if tree not in (None, EMPTY_TREE) and not self._has_tree(git_dir, tree, commit):
                tip = self.commit(tree, commit or None, f"What stood in {name.partition('/')[2]}")
                retaining.add([Named("worktree", name, tip)])
        except (GitError, OSError) as error:
            self._report.leave(f"{name}: {error}", "nested repository that could not be read")
        if not git_dir:
            return
        before = self._report.number
        self._commits(retaining, git_dir, name, tree)
        if tree not in (None, EMPTY_TREE) and self._report.number > before:
            # The commit with the same files may be one of those that could not be retained.
            tip = self.commit(tree, commit or None, f"What stood in {name.partition('/')[2]}")
            retaining.add([Named("worktree", name, tip)])

    def _has_tree(self, git_dir: bytes | None, tree: bytes | None, commit: bytes) -> bool:
        known = (read_head(git_dir) if git_dir else None, commit or None)
        return tree in (self._tree_of(git_dir or b"", one) for one in known)

    def _commits(
        self, retaining: Retaining, git_dir: bytes, name: str, tree: bytes | None = None
    ) -> None:
        """Collect the commits of a repository, and what only its indexes contain.

        `tree` is the tree of its files.
        """
        self._seen.add(os.path.realpath(git_dir))
        open_repository(common_dir(git_dir))
        if unread := unread_format(common_dir(git_dir)):
            what = "refs" if unread == "reftable" else "commits"
            self._report.leave(name, f"repository in the format {unread}: its {what}")
            if unread != "reftable":
                return
        try:
            self._add_own(retaining, git_dir, name)
        except (GitError, OSError) as error:
            what = "commits of a nested repository that could not be read"
            self._report.leave(f"{name}: {error}", what)
        try:
            self._add_staged(retaining, git_dir, name, tree)
        except (GitError, OSError) as error:
            what = "index of a nested repository that could not be read"
            self._report.leave(f"{name}: {error}", what)

    def _add_own(self, retaining: Retaining, git_dir: bytes, name: str) -> None:
        """Add the commits of a repository that its own lasting remotes do not have."""
        head = read_head(git_dir)
        refs = list(read_refs(git_dir, self._report))
        lasting = lasting_remotes(common_dir(git_dir), self._job.root)
        at_remotes = tuple(f"refs/remotes/{shown(one)}/" for one in lasting)
        published = [one.commit for one in refs if one.name.startswith(at_remotes)]
        own = [one for one in refs if not one.name.startswith("refs/remotes/")]
        fetched = [one for one in refs if one not in own and not one.name.startswith(at_remotes)]
        if head and all(one.commit != head for one in own):
            own.append(Named("branch", "HEAD", head))
        store = Store(self._borrowing(git_dir), self._ours)
        published = [one for one in store.commits(published) if one]
        reached = [*read_passing(git_dir), *own_commits(store, git_dir, self._report)]
        theirs = retaining.beside(store)
        theirs.add(_prefixed(name, self._new(store, own, published, retaining)))
        named = [one for one in store.commits([one.commit for one in own]) if one]
        known = [*published, *named]
        theirs.add(_prefixed(name, self._new(store, fetched, known, retaining)))
        theirs.add_passing(_prefixed(name, self._new(store, reached, published, retaining)))

    def _add_staged(
        self, retaining: Retaining, git_dir: bytes, name: str, tree: bytes | None
    ) -> None:
        """Add what only the indexes of a repository and of its linked worktrees contain."""
        common = common_dir(git_dir)
        linked = read_linked(git_dir) if common == git_dir else ()
        for one in (Linked("", git_dir, b""), *linked):
            head = read_head(one.git_dir, common)

            def held(commit: bytes | None = head) -> set[bytes]:
                known = (self._blobs(git_dir, found) for found in (commit, tree))
                return retaining.blobs.union(*known)

            what = f"{name}/worktrees/{one.name}/index" if one.name else f"{name}/index"
            retaining.add(self._staged.read(one.git_dir, head or EMPTY_TREE, held, what))
            if one.folder and find_git_dir(one.folder) and self._is_within(one.folder):
                self._inner.append(one.folder)

    def _blobs(self, git_dir: bytes, tree: bytes | None) -> set[bytes]:
        """Return the blobs of a tree or commit; none if it cannot be read."""
        if tree is None:
            return set()
        try:
            return {blob for _, blob in read_tree(self._borrowing(git_dir), tree).values()}
        except GitError:
            return set()

    def _is_within(self, folder: bytes) -> bool:
        return os.path.realpath(folder).startswith(os.path.realpath(self._job.root) + b"/")

    def _new(
        self, store: Store, named: list[Named], published: list[bytes], retaining: Retaining
    ) -> list[Named]:
        """Return those that are neither published nor retained, and those that are damaged."""
        found = store.commits([one.commit for one in named])
        commits = dict(zip([one.commit for one in named], found))
        sound = {commit for commit in found if commit}
        try:
            new = {commit for commit, _ in store.beyond(sound, published)} if sound else set()
        except GitError:
            new = sound  # a history without an end, as in a shallow clone
        new -= {*retaining.refs.values()}
        return [one for one in named if commits[one.commit] in new or not commits[one.commit]]

    def _snapshot(self, folder: bytes, commit: bytes, base: Mapping[bytes, Found]) -> bytes | None:
        """Return the tree of a folder's files; None if it exceeds the limits."""
        self._snapshots += 1
        name = os.path.relpath(folder, self._job.worktree)
        survey = Surveyor(self._ours, folder, base, (), self._report, name)
        size = sum(_size(os.path.join(folder, path)) for path in survey.files)
        if size > self._job.unpacked_bytes:
            self._report.leave(name, f"more than {self._job.unpacked_bytes} bytes")
            return None
        self._inner += [os.path.join(folder, one) for one in survey.nested]
        changes = Taking(self._ours, folder, base, self._report, name).changes(survey)
        return write_tree(self._ours, commit, changes, b"index.%d" % self._snapshots)

    def _has_base(self, git_dir: bytes) -> bool:
        """Return whether a repository has the base without the mirror."""
        self._asked += 1
        path = os.path.join(self._job.scratch, b"asked.%d.git" % self._asked)
        objects = os.path.join(common_dir(git_dir), b"objects")
        return Repository(path, [objects]).attempt("cat-file", "-e", self._job.base)[0] == 0

    def _tree_of(self, git_dir: bytes, commit: bytes | None) -> bytes | None:
        if commit is None:
            return None
        asked = ("rev-parse", "--verify", "--quiet", commit + b"^{tree}")
        code, output, _ = self._borrowing(git_dir).attempt(*asked)
        return output.strip() if code == 0 else None


def _size(path: bytes) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _prefixed(name: str, named: Iterable[Named]) -> list[Named]:
    return [Named(one.kind, f"{name}/{one.name}", one.commit) for one in named]
