"""Runs one capture from the first read to the bundle: the change first, then the work beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from .agents import AgentsRepository
from .beside import Beside
from .git import GitError, GitKilled, Repository, remove
from .index import CheckedOut
from .job import Job, Report
from .naming import CHANGE, HISTORY
from .refs import Linked, Named, read_head, read_linked, read_passing, read_refs
from .repositories import common_dir, find_git_dir, open_folder, open_repository
from .retained import Retaining, Store, own_commits
from .survey import GITLINK, Surveyor
from .taking import Found, Taking, read_tree, write_tree

LOST, EMPTY, KILLED = 71, 72, 73


class Lost(Exception):
    """No worktree or no base exists."""


class Capture:
    """One capture of one workspace."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.report = Report()
        _prepare(job)
        self._ours = Repository(os.path.join(job.scratch, b"ours.git"), [job.objects])
        self._ours.write_excludes(job.droppings)
        self._borrowed: dict[bytes, Repository] = {}

    def run(self) -> bool:
        """Write the bundle; returns whether it contains anything.

        Raises:
            Lost: no worktree exists, or no repository that could have changed.
            GitError: the tree could not be made.
        """
        job, report = self.job, self.report
        try:
            base = read_tree(self._ours, job.base)
        except GitError as error:
            raise Lost(str(error)) from error
        beside = Beside(self._ours, self._borrowing, job, base, report)
        if not os.path.isdir(job.worktree):
            # A worktree that was moved is a clone of the base elsewhere.
            found = [folder for folder, git_dir in beside.clones() if folder != git_dir]
            if not found:
                raise Lost
            job.worktree = found[0]
        git_dir = find_git_dir(job.worktree)
        if git_dir:
            open_repository(common_dir(git_dir))
        theirs = self._borrowing(git_dir or b"")
        agents = AgentsRepository(job.worktree, theirs, job.base, report)
        survey = Surveyor(self._ours, job.worktree, base, agents.wanted, report)
        changes = self._changes(base, agents, survey)
        report.is_changed = bool(changes)
        blobs = {found[1] for found in changes.values() if found}
        retaining = Retaining(Store(theirs, self._ours), job, report, [job.base], {*blobs})
        tree = tip = b""
        if changes:
            tree = write_tree(self._ours, job.base, changes, b"index")
            past = self._collect_past(retaining, agents)
            tip = beside.commit(tree, retaining.known[-1], job.message)
            retaining.known.append(tip)
            if past - blobs - {blob for _, blob in base.values()}:
                # The delivery squashes the agent's own commits.
                retaining.name(Named("checkpoint", HISTORY, retaining.known[1]))
        self._retain(retaining, beside, agents, survey)
        if not changes:
            if not retaining.refs:
                if agents.git_dir is None:
                    raise Lost
                return False
            tree = self._ours.run("rev-parse", job.base + b"^{tree}").strip()
            tip = beside.commit(tree, job.base, job.message)
        self._bundle(retaining, tip, lambda: beside.commit(tree, job.base, job.message))
        return True

    def close(self) -> None:
        """Remove the scratch space."""
        remove(self.job.scratch)

    def _borrowing(self, git_dir: bytes) -> Repository:
        """Return a repository that reads objects of another, of the mirror and of the capture."""
        git_dir = common_dir(git_dir) if git_dir else b""
        if git_dir not in self._borrowed:
            path = os.path.join(self.job.scratch, b"theirs.%d.git" % len(self._borrowed))
            objects = [self.job.objects, os.path.join(self._ours.path, b"objects")]
            objects += [self._without_newline(os.path.join(git_dir, b"objects"))] if git_dir else []
            self._borrowed[git_dir] = Repository(path, objects)
        return self._borrowed[git_dir]

    def _without_newline(self, path: bytes) -> bytes:
        """Return a path that a list of alternates can contain."""
        if b"\n" not in path:
            return path
        link = os.path.join(self.job.scratch, b"objects.%d" % len(self._borrowed))
        os.symlink(path, link)
        return link

    def _changes(
        self, base: Mapping[bytes, Found], agents: AgentsRepository, survey: Surveyor
    ) -> dict[bytes, Found | None]:
        job = self.job
        pins: dict[bytes, bytes] = {}
        for folder in survey.nested:
            git_dir = find_git_dir(os.path.join(job.worktree, folder))
            if git_dir and base.get(folder, (b"",))[0] == GITLINK:
                commit = read_head(git_dir)
                pins |= {folder: commit} if commit else {}
        checked_out = CheckedOut(job.index)
        taking = Taking(self._ours, job.worktree, base, self.report)
        return taking.changes(survey, checked_out, pins, agents.is_sparse)

    def _collect_past(self, retaining: Retaining, agents: AgentsRepository) -> set[bytes]:
        """Make the agent's own commits the parents of the change, if sound and not too large.

        Returns their blobs. Otherwise they are tried again beside the change, and reported if that
        fails too.
        """
        base, head, store = self.job.base, agents.head, retaining.store
        if head is None or head == base:
            return set()
        try:
            found = store.content([head], [base])
            if sum(size for _, size in found.values()) > self.job.unpacked_bytes:
                return set()
            store.collect([head], [base], is_strict=True)
        except GitError:
            return set()
        blobs = {name for name, (kind, _) in found.items() if kind == b"blob"}
        retaining.blobs |= blobs
        retaining.known.append(head)
        return blobs

    def _retain(
        self,
        retaining: Retaining,
        beside: Beside,
        agents: AgentsRepository,
        survey: Surveyor,
    ) -> None:
        """Collect the other work of the agent; a failure does not affect the change."""
        git_dir = agents.git_dir
        common = common_dir(git_dir) if git_dir else b""
        linked = [one for one in read_linked(common) if one.folder != self.job.worktree]
        try:
            if git_dir:
                retaining.add(beside.linked(linked, common))
                retaining.add(self._named(git_dir, linked))
                retaining.add(beside.staged(git_dir, linked, retaining.blobs))
                passing = [*read_passing(git_dir)]
                for one in linked:
                    passing += read_passing(one.git_dir)
                retaining.add_passing(passing)
                retaining.add_passing(own_commits(retaining.store, git_dir, self.report))
        except (GitError, OSError) as error:
            self.report.leave(str(error), "commits beside the change that could not be read")
        beside.nested(retaining, survey.nested, linked)
        if git_dir:
            beside.submodules(retaining, common)
        beside.outside(retaining, git_dir)

    def _named(self, git_dir: bytes, linked: list[Linked]) -> list[Named]:
        named = list(read_refs(git_dir, self.report))
        held = {one.commit for one in named}
        head = read_head(git_dir)
        if head and head not in held:
            named.insert(0, Named("branch", "HEAD", head))
        for one in linked:
            commit = read_head(one.git_dir)
            if commit and commit not in held:
                named.append(Named("worktree", f"worktrees/{one.name}", commit))
        return named

    def _bundle(self, retaining: Retaining, tip: bytes, alone: Callable[[], bytes]) -> None:
        """Write the bundle; if it would exceed the limit, without the largest other commits."""
        change, refs = CHANGE.encode(), retaining.refs
        self._write_bundle({change: tip, **refs})
        beside = sorted(
            (ref for ref in refs if retaining.sizes[ref]), key=retaining.sizes.__getitem__
        )
        while beside and self._is_too_large():
            # Each bundle takes time, so up to half of the commits are left out at once.
            smaller = len(beside) - max(1, len(beside) // 2)
            for ref in beside[smaller:]:
                self._leave_ref(retaining, ref)
            beside = beside[:smaller]
            self._write_bundle({change: tip, **refs})
        if self._is_too_large():
            for ref in list(refs):
                self._leave_ref(retaining, ref)
            self._write_bundle({change: alone()})

    def _is_too_large(self) -> bool:
        return os.path.getsize(self.job.bundle) > self.job.limit_bytes

    def _leave_ref(self, retaining: Retaining, ref: bytes) -> None:
        name = retaining.drop(ref)
        self.report.leave(name, f"more than {self.job.limit_bytes} bytes in the bundle")

    def _write_bundle(self, refs: Mapping[bytes, bytes]) -> None:
        bundle = self.job.bundle
        remove(bundle)
        remove(bundle + b".lock")
        self._ours.write_refs(refs)
        create = ("bundle", "create", "--quiet", "--version=2")
        self._ours.run(*create, bundle, *refs, b"^" + self.job.base)


def _prepare(job: Job) -> None:
    """Make the scratch space, whatever the agent left in its place."""
    open_folder(job.root)
    tmp = os.path.dirname(job.bundle)
    if os.path.islink(tmp) or not os.path.isdir(tmp):
        remove(tmp)
        os.mkdir(tmp, 0o700)
    open_folder(tmp)
    remove(job.scratch)
    os.mkdir(job.scratch)


def main() -> None:
    """Run the capture of the argument; the report is written to standard output."""
    job = Job(sys.argv[1])
    capture = None
    try:
        capture = Capture(job)
        is_anything = capture.run()
    except Lost as error:
        sys.stderr.write(f"{error}\n")
        if capture:
            capture.report.write(job.most_paths)
        sys.exit(LOST)
    except GitKilled as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(KILLED)
    except (GitError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    finally:
        if capture:
            capture.close()
    capture.report.write(job.most_paths)
    sys.exit(0 if is_anything else EMPTY)
