"""Runs one capture from the first read to the bundle: the change first, then the work beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from .agents import AgentsRepository
from .beside import Beside
from .git import GitError, Repository, remove
from .index import CheckedOut
from .job import Job, Report
from .naming import CHANGE
from .refs import Linked, Named, find_git_dir, read_head, read_linked, read_passing, read_refs
from .retained import Retaining, Store, own_commits
from .survey import GITLINK, Surveyor
from .taking import Found, Taking, read_tree, write_tree

LOST, EMPTY = 71, 72


class Lost(Exception):
    """No worktree or no base exists."""


class Capture:
    """One capture of one workspace."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.report = Report()
        self._scratch = os.path.join(os.path.dirname(job.bundle), b"capture")
        remove(self._scratch)
        os.makedirs(self._scratch)
        self._ours = Repository(os.path.join(self._scratch, b"ours.git"), [job.objects])
        self._ours.write_excludes(job.droppings)
        self._borrowed: dict[bytes, Repository] = {}

    def run(self) -> bool:
        """Write the bundle; returns whether it contains anything.

        Raises:
            Lost: no worktree exists, or no repository that could have changed.
            GitError: the tree could not be made.
        """
        job, report = self.job, self.report
        if not os.path.isdir(job.worktree):
            raise Lost
        try:
            base = read_tree(self._ours, job.base)
        except GitError as error:
            raise Lost(str(error)) from error
        theirs = self._borrowing(find_git_dir(job.worktree) or b"")
        agents = AgentsRepository(job.worktree, theirs, job.base, report)
        survey = Surveyor(self._ours, job.worktree, base, agents.wanted, report)
        changes = self._changes(base, agents, survey)
        report.is_changed = bool(changes)
        blobs = {found[1] for found in changes.values() if found}
        retaining = Retaining(Store(theirs, self._ours), job, report, [job.base], blobs)
        beside = Beside(self._ours, self._borrowing, job, base, report)
        tree = tip = b""
        if changes:
            tree = write_tree(self._ours, job.base, changes, b"index")
            self._collect_past(retaining, agents)
            tip = beside.commit(tree, retaining.known[-1], job.message)
            retaining.known.append(tip)
        self._retain(retaining, beside, agents, survey)
        if not changes:
            if not retaining.refs:
                if agents.git_dir is None:
                    raise Lost
                return False
            tree = self._ours.run("rev-parse", job.base + b"^{tree}").strip()
            tip = beside.commit(tree, job.base, job.message)
        self._bundle(retaining.refs, tip, lambda: beside.commit(tree, job.base, job.message))
        return True

    def close(self) -> None:
        """Remove the scratch space."""
        remove(self._scratch)

    def _borrowing(self, git_dir: bytes) -> Repository:
        """Return a repository that reads objects of another, of the mirror and of the capture."""
        if git_dir not in self._borrowed:
            path = os.path.join(self._scratch, b"theirs.%d.git" % len(self._borrowed))
            objects = [self.job.objects, os.path.join(self._ours.path, b"objects")]
            objects += [os.path.join(git_dir, b"objects")] if git_dir else []
            self._borrowed[git_dir] = Repository(path, objects)
        return self._borrowed[git_dir]

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

    def _collect_past(self, retaining: Retaining, agents: AgentsRepository) -> None:
        """Make the agent's own commits the parents of the change, if sound and not too large.

        Otherwise they are tried again beside the change, and reported if that fails too.
        """
        base, head, store = self.job.base, agents.head, retaining.store
        if head is None or head == base:
            return
        try:
            found = store.content([head], [base])
            if sum(size for _, size in found.values()) > self.job.unpacked_bytes:
                return
            store.collect([head], [base], is_strict=True)
        except GitError:
            return
        retaining.blobs |= {name for name, (kind, _) in found.items() if kind == b"blob"}
        retaining.known.append(head)

    def _retain(
        self,
        retaining: Retaining,
        beside: Beside,
        agents: AgentsRepository,
        survey: Surveyor,
    ) -> None:
        """Collect the other work of the agent; a failure does not affect the change."""
        git_dir = agents.git_dir
        linked = list(read_linked(git_dir)) if git_dir else []
        try:
            if git_dir:
                retaining.add(beside.linked(linked, git_dir))
                retaining.add(self._named(git_dir, linked))
                retaining.add(beside.staged(agents, retaining.blobs))
                passing = [*read_passing(git_dir)]
                for one in linked:
                    passing += read_passing(one.git_dir)
                retaining.add_passing(passing)
                retaining.add_passing(own_commits(retaining.store, git_dir, self.report))
        except (GitError, OSError) as error:
            self.report.leave(str(error), "commits beside the change that could not be read")
        for folder in survey.nested:
            beside.nested(retaining, folder, linked)

    def _named(self, git_dir: bytes, linked: list[Linked]) -> list[Named]:
        named = list(read_refs(git_dir, self.report))
        held = {one.commit for one in named}
        head = read_head(git_dir)
        if head and head not in held:
            named.insert(0, Named("branch", "HEAD", head))
        for one in linked:
            commit = read_head(one.git_dir, git_dir)
            if commit and commit not in held:
                named.append(Named("worktree", f"worktrees/{one.name}", commit))
        return named

    def _bundle(self, refs: Mapping[bytes, bytes], tip: bytes, alone: Callable[[], bytes]) -> None:
        """Write the bundle, with fewer commits beside the change if it would exceed the limit."""
        limit, change = self.job.limit_bytes, CHANGE.encode()
        self._write_bundle({change: tip, **refs})
        if refs and os.path.getsize(self.job.bundle) > limit:
            for one in self.report.retained:
                self.report.leave(one["ref"], f"more than {limit} bytes in the bundle")
            self.report.retained = []
            self._write_bundle({change: tip})
        if os.path.getsize(self.job.bundle) > limit:
            self.report.leave("HEAD", f"more than {limit} bytes in the bundle")
            self._write_bundle({change: alone()})

    def _write_bundle(self, refs: Mapping[bytes, bytes]) -> None:
        bundle = self.job.bundle
        remove(bundle)
        remove(bundle + b".lock")
        self._ours.write_refs(refs)
        create = ("bundle", "create", "--quiet", "--version=2")
        self._ours.run(*create, bundle, *refs, b"^" + self.job.base)


def main() -> None:
    """Run the capture of the argument; the report is written to standard output."""
    job = Job(sys.argv[1])
    capture = None
    try:
        os.makedirs(os.path.dirname(job.bundle), exist_ok=True)
        capture = Capture(job)
        is_anything = capture.run()
    except Lost as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(LOST)
    except (GitError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    finally:
        if capture:
            capture.close()
    sys.stdout.write(f"{capture.report.text(job.most_paths)}\n")
    sys.exit(0 if is_anything else EMPTY)
