"""The commits of an agent that are no part of its change: chosen, bounded, taken over, named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .git import GitError, Repository
from .job import Job, Report
from .naming import ref_of
from .refs import Named, own_objects

#: So many commits that no ref leads to are looked at.
_MOST_PASSING = 200
#: So many objects of a repository are looked through for them.
_MOST_LISTED = 20_000
_SUBJECT = 200


class Store:
    """Reads the agent's objects, and takes sound ones over into the repository of the capture."""

    def __init__(self, theirs: Repository, ours: Repository) -> None:
        """`theirs` borrows from the agent, so anything in it may be damaged."""
        self.theirs = theirs
        self.ours = ours

    def commits(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return the commit that each of these names leads to, as far as it can be read."""
        if not names:
            return []
        asked = b"".join(name + b"^{commit}\n" for name in names)
        shape = "--batch-check=%(objecttype) %(objectname)"
        try:
            lines = self.theirs.run("cat-file", shape, stdin=asked).splitlines()
        except GitError:
            if len(names) == 1:
                return [None]
            # One damaged object ends git: the others are asked for in halves.
            half = len(names) // 2
            return [*self.commits(names[:half]), *self.commits(names[half:])]
        return [line[7:] if line.startswith(b"commit ") else None for line in lines]

    def beyond(
        self, names: Iterable[bytes], known: Iterable[bytes]
    ) -> list[tuple[bytes, list[bytes]]]:
        """Return every commit that leads to `names` and to none known, with its parents.

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
        """Return type and size of every object that these bring in.

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
        """Copy what leads to these commits into our repository, each object checked by its name.

        Raises:
            GitError: an object is damaged or not there, or where strict, fsck finds fault.
        """
        packing = self.theirs.start("pack-objects", "--revs", "--thin", "--stdout", "--quiet")
        # The pipes that `start` always makes.
        question, pack, words = packing.stdin, packing.stdout, packing.stderr
        if question is None or pack is None or words is None:
            raise GitError
        strict = ("--strict",) if is_strict else ()
        index = ("index-pack", "--stdin", "--fix-thin", *strict)
        unpacking = self.ours.start(*index, stdin=pack.fileno())
        pack.close()
        with question:
            question.write(_revisions(names, known))
        _, said = unpacking.communicate()
        with words:
            said = words.read() or said
        if packing.wait() or unpacking.returncode:
            raise GitError(said.decode(errors="replace").strip())


class _TooMuch(Exception):
    pass


class Retaining:
    """Chooses what travels beside the change."""

    def __init__(
        self, store: Store, job: Job, report: Report, known: list[bytes], blobs: set[bytes]
    ) -> None:
        """`known` are the commits that the bundle has already, `blobs` those the base has not."""
        self.store = store
        self.known = known
        self.blobs = blobs
        #: What travels, by the ref in the bundle.
        self.refs: dict[bytes, bytes] = {}
        self._job = job
        self._report = report

    def beside(self, store: Store) -> Retaining:
        """Return one that adds to the same bundle from another repository."""
        other = Retaining(store, self._job, self._report, self.known, self.blobs)
        other.refs = self.refs
        return other

    def add(self, named: Sequence[Named]) -> None:
        """Take what has any content that the base and the change have not."""
        self._claim(self._with_content(self._readable(named, is_telling=True)))

    def add_passing(self, named: Sequence[Named]) -> None:
        """Take what no ref leads to any more, where it has content that nothing else has."""
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
        """Return those that have any file or folder that the base and the change have not."""
        kept = []
        for one in named:
            try:
                found = self.store.content([one.commit], self.known)
            except GitError as error:
                self._leave_damaged(one, error)
                continue
            if any(kind != b"commit" for kind, _ in found.values()):
                kept.append(one)
        return kept

    def _newest(self, named: list[Named]) -> list[Named]:
        """Return those that no other leads to, with content that nothing else has."""
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
                self._leave_damaged(one, error)
                continue
            # Amended and picked commits leave their forerunners behind, with nothing new in them.
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
        if sum(size for _, size in found.values()) > self._job.unpacked_bytes:
            raise _TooMuch
        if found:
            self.store.collect(commits, known, is_strict=False)
        self.blobs |= {name for name, (kind, _) in found.items() if kind == b"blob"}
        for one in named:
            self.refs[ref_of(one.kind, one.name).encode()] = one.commit
            self._report.retained.append(
                {
                    "ref": one.name,
                    "commit": one.commit.decode(),
                    "subject": self._gate_input(one.commit),
                    "kind": one.kind,
                }
            )

    def _gate_input(self, commit: bytes) -> str:
        text = self.store.ours.run("cat-file", "commit", commit).decode(errors="replace")
        lines = text.partition("\n\n")[2].strip().splitlines()
        return lines[0][:_SUBJECT] if lines else ""

    def _leave_damaged(self, one: Named, error: GitError) -> None:
        lines = str(error).strip().splitlines()
        why = f"damaged history: {lines[-1] if lines else 'no reason given'}"
        self._report.leave(f"{one.name} ({one.commit.decode()})", why)


def own_commits(store: Store, git_dir: bytes, report: Report) -> list[Named]:
    """Return the commits in a repository's own store, whatever leads to them."""
    names, packs = own_objects(git_dir)
    for pack in packs:
        try:
            with open(pack, "rb") as file:
                output, _ = store.theirs.start("show-index", stdin=file.fileno()).communicate()
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
