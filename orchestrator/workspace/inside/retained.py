"""Chooses, limits, copies and names the commits of an agent that are not part of its change."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress

from .git import GitError, Repository, check_killed
from .job import Job, Report
from .naming import ref_of, short_name
from .refs import Named, own_objects

#: The number of commits without a ref that are read.
_MOST_PASSING = 200
#: The number of objects of a repository that are searched for them.
_MOST_LISTED = 20_000
_SUBJECT = 200


class Store:
    """Reads the agent's objects, and copies sound ones into the repository of the capture."""

    def __init__(self, theirs: Repository, ours: Repository) -> None:
        """`theirs` borrows objects from the agent, so any of them may be damaged."""
        self.theirs = theirs
        self.ours = ours

    def commits(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return the commit to which each of these names leads, if it can be read."""
        if not names:
            return []
        asked = b"".join(name + b"^{commit}\n" for name in names)
        shape = "--batch-check=%(objecttype) %(objectname)"
        try:
            lines = self.theirs.run("cat-file", shape, stdin=asked).splitlines()
        except GitError:
            if len(names) == 1:
                return [None]
            # One damaged object ends git, so the others are requested in halves.
            half = len(names) // 2
            return [*self.commits(names[:half]), *self.commits(names[half:])]
        return [line[7:] if line.startswith(b"commit ") else None for line in lines]

    def beyond(
        self, names: Iterable[bytes], known: Iterable[bytes]
    ) -> list[tuple[bytes, list[bytes]]]:
        """Return every commit reachable from `names` and not from known ones, with its parents.

        Raises:
            GitError: a history is damaged.
        """
        listing = ("rev-list", "--topo-order", "--parents", "--stdin")
        output = self.theirs.run(*listing, stdin=_revisions(names, known))
        lines = (line.split(b" ") for line in output.splitlines())
        return [(line[0], line[1:]) for line in lines]

    def content(
        self, names: Iterable[bytes], known: Iterable[bytes]
    ) -> dict[bytes, tuple[bytes, int]]:
        """Return type and size of every object that these commits add.

        Raises:
            GitError: a history is damaged.
        """
        listing = ("rev-list", "--objects", "--no-object-names", "--stdin")
        listed = self.theirs.run(*listing, stdin=_revisions(names, known))
        shape = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
        found = {}
        for line in self.theirs.run("cat-file", shape, stdin=listed).splitlines():
            name, _, rest = line.partition(b" ")
            kind, _, size = rest.partition(b" ")
            if not size:
                msg = f"object {name.decode()} is not there"
                raise GitError(msg)
            found[name] = (kind, int(size))
        return found

    def collect(self, names: Iterable[bytes], known: Iterable[bytes], *, is_strict: bool) -> None:
        """Copy the objects of these commits into our repository, checked by their ids.

        Raises:
            GitError: an object is damaged or missing, or if strict, fsck reports a fault.
        """
        packing = self.theirs.start("pack-objects", "--revs", "--thin", "--stdout", "--quiet")
        # `start` always makes these pipes.
        question, pack, words = packing.stdin, packing.stdout, packing.stderr
        if question is None or pack is None or words is None:
            raise GitError
        strict = ("--strict",) if is_strict else ()
        index = ("index-pack", "--stdin", "--fix-thin", *strict)
        unpacking = self.ours.start(*index, stdin=pack.fileno())
        pack.close()
        # A git that has ended reads nothing more; its exit code says why.
        with suppress(BrokenPipeError), question:
            question.write(_revisions(names, known))
        _, said = unpacking.communicate()
        with words:
            said = words.read() or said
        check_killed(unpacking.returncode)
        # A git that refused the pack closed its pipe, which ends the one that writes it.
        if packing.wait() != -signal.SIGPIPE:
            check_killed(packing.returncode)
        if packing.returncode or unpacking.returncode:
            raise GitError(said.decode(errors="replace").strip())


class _TooMuch(Exception):
    pass


class Retaining:
    """Chooses the commits that the bundle contains beside the change."""

    def __init__(
        self, store: Store, job: Job, report: Report, known: list[bytes], blobs: set[bytes]
    ) -> None:
        """`known` are the commits in the bundle, `blobs` the blobs that the base has not."""
        self.store = store
        self.known = known
        self.blobs = blobs
        #: The chosen commits, by their ref in the bundle.
        self.refs: dict[bytes, bytes] = {}
        #: The unpacked bytes that each of them adds to the bundle.
        self.sizes: dict[bytes, int] = {}
        self._job = job
        self._report = report

    def beside(self, store: Store) -> Retaining:
        """Return a chooser that adds commits of another repository to the same bundle."""
        other = Retaining(store, self._job, self._report, self.known, self.blobs)
        other.refs, other.sizes = self.refs, self.sizes
        return other

    def add(self, named: Sequence[Named]) -> None:
        """Add commits with content that neither the base nor the change has."""
        self._claim(self._with_content(self._readable(named, is_telling=True)))

    def add_passing(self, named: Sequence[Named]) -> None:
        """Add commits without a ref, if they have content that nothing else has."""
        self._claim(self._newest(self._readable(named, is_telling=False)))

    def _readable(self, named: Sequence[Named], *, is_telling: bool) -> list[Named]:
        known = set(self.known)
        named = [one for one in named if one.commit not in known]
        found = []
        for one, commit in zip(named, self.store.commits([one.commit for one in named])):
            if commit is not None:
                found.append(Named(one.kind, one.name, commit))
            elif is_telling:
                name = f"{one.name} ({one.commit.decode()})"
                self._report.leave(name, "commit that cannot be read")
        return found

    def _with_content(self, named: list[Named]) -> list[Named]:
        """Return those with a file or folder that neither the base nor the change has."""
        kept = []
        for one in named:
            try:
                found = self.store.content([one.commit], self.known)
            except GitError as error:
                kept += self._as_files_only(one, error)
                continue
            if any(kind != b"commit" for kind, _ in found.values()):
                kept.append(one)
        return kept

    def _newest(self, named: list[Named]) -> list[Named]:
        """Return those that are reachable from no other, with content that nothing else has."""
        if not named:
            return []
        names: dict[bytes, Named] = {}
        for one in named:
            names.setdefault(one.commit, one)
        known = [*self.known, *self.refs.values()]
        try:
            beyond = self.store.beyond(names, known)
        except GitError:
            beyond = [(name, []) for name in names]
        parents = {parent for _, above in beyond for parent in above}
        tips = [names[commit] for commit, _ in beyond if commit in names.keys() - parents]
        for one in tips[_MOST_PASSING:]:
            what = f"more than {_MOST_PASSING} commits that no ref leads to"
            self._report.leave(f"{one.name} ({one.commit.decode()})", what)
        kept = []
        for one in tips[:_MOST_PASSING]:
            try:
                found = self.store.content([one.commit], known)
            except GitError as error:
                kept += self._as_files_only(one, error)
                continue
            # Amended and cherry-picked commits leave their originals behind, which add no content.
            if not {name for name, (kind, _) in found.items() if kind == b"blob"} <= self.blobs:
                kept.append(one)
        return kept

    def _claim(self, named: list[Named]) -> None:
        room = max(self._job.most_refs - len(self.refs), 0)
        for one in named[room:]:
            self._report.leave(one.name, f"more than {self._job.most_refs} refs")
        named = named[:room]
        if not named:
            return
        try:
            self._collect_all(named)
        except (GitError, _TooMuch):
            for one in named:
                try:
                    self._collect_all([one])
                except GitError as error:
                    self._leave_damaged(one, error)
                except _TooMuch:
                    self._report.leave(one.name, f"more than {self._job.unpacked_bytes} bytes")

    def _collect_all(self, named: list[Named]) -> None:
        commits = list(dict.fromkeys(one.commit for one in named))
        known = [*self.known, *self.refs.values()]
        found = self.store.content(commits, known)
        size = sum(size for _, size in found.values())
        # Large commits are collected one by one, so that each has its own size.
        limit = self._job.unpacked_bytes
        if size > (limit if len(named) == 1 else min(limit, self._job.limit_bytes)):
            raise _TooMuch
        if found:
            self.store.collect(commits, known, is_strict=False)
        self.blobs |= {name for name, (kind, _) in found.items() if kind == b"blob"}
        for one in named:
            self.name(one, size)

    def name(self, one: Named, size: int = 0) -> None:
        """Name a commit that the bundle contains; no two commits get the same ref.

        No ref is a folder of another one either, because git could not fetch both.
        """

        def is_taken(name: str) -> bool:
            ref = ref_of(one.kind, name).encode()
            is_folder = any(other.startswith(ref + b"/") for other in self.refs)
            return is_folder or self.refs.get(ref, one.commit) != one.commit

        name = short_name(self._beside_files(one.kind, one.name), is_taken)
        ref = ref_of(one.kind, name).encode()
        self.refs[ref] = one.commit
        self.sizes[ref] = size
        self._report.retained[ref] = {
            "ref": name,
            "commit": one.commit.decode(),
            "subject": self._title(one.commit),
            "kind": one.kind,
        }

    def _beside_files(self, kind: str, name: str) -> str:
        """Return the name, with `~` for each slash below a name that is already a ref."""
        for at in [at for at, sign in enumerate(name) if sign == "/"]:
            if ref_of(kind, name[:at]).encode() in self.refs:
                name = f"{name[:at]}~{name[at + 1 :]}"
        return name

    def drop(self, ref: bytes) -> str:
        """Take a commit out of the bundle again; returns its name."""
        del self.refs[ref], self.sizes[ref]
        return self._report.retained.pop(ref)["ref"]

    def _title(self, commit: bytes) -> str:
        text = self.store.ours.run("cat-file", "commit", commit).decode(errors="replace")
        lines = text.partition("\n\n")[2].strip().splitlines()
        return lines[0][:_SUBJECT] if lines else ""

    def _as_files_only(self, one: Named, error: GitError) -> list[Named]:
        """Return a commit of the files alone, if these can be read: for example in a shallow clone.

        The history is reported.
        """
        self._leave_damaged(one, error)
        theirs = self.store.theirs
        try:
            tree = theirs.run("rev-parse", one.commit + b"^{tree}").strip()
            found = self.store.content([tree], ())
            blobs = {name for name, (kind, _) in found.items() if kind == b"blob"}
            if blobs <= self.blobs:
                return []
            said = f"The files of {one.commit.decode()}, without its history"
            made = theirs.run("commit-tree", tree, "-m", said).strip()
        except GitError:
            return []
        return [Named(one.kind, one.name, made)]

    def _leave_damaged(self, one: Named, error: GitError) -> None:
        lines = str(error).strip().splitlines()
        why = lines[-1] if lines else "no reason given"
        self._report.leave(f"{one.name} ({one.commit.decode()}): {why}", "damaged history")


def own_commits(store: Store, git_dir: bytes, report: Report) -> list[Named]:
    """Return the commits in a repository's own store, reachable or not."""
    names, packs = own_objects(git_dir)
    for pack in packs:
        try:
            with open(pack, "rb") as file:
                listing = store.theirs.start("show-index", stdin=file.fileno())
                output, _ = listing.communicate()
                check_killed(listing.returncode)
        except OSError:
            continue
        # Offset, id, checksum.
        names += [line.split(b" ")[1] for line in output.splitlines()]
    if len(names) > _MOST_LISTED:
        what = "too many to look for commits that no ref leads to"
        report.leave(f"{len(names)} objects of the repository", what)
        return []
    found = {name for name, commit in zip(names, store.commits(names)) if name == commit}
    return [Named("branch", f"unreachable/{one.decode()[:12]}", one) for one in sorted(found)]


def _revisions(names: Iterable[bytes], known: Iterable[bytes]) -> bytes:
    return b"".join([*(b"%s\n" % name for name in names), *(b"^%s\n" % name for name in known)])
