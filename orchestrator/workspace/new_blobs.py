"""The blobs, paths and messages that commits add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.workspace.diff import (
    ABSENT,
    BLOB_LIMIT_BYTES,
    EMPTY_TREE,
    GITLINK,
    ChangedFile,
    object_sizes,
    parse_raw,
    read_objects,
    shown_path,
)
from orchestrator.workspace.git import Git
from orchestrator.workspace.object_sizes import extents

#: The path for text that is no file content: the commit object (names and message), its new paths.
COMMIT = "<commit>"
PATHS = "<paths>"
#: The bytes that are read from git at a time, or one file with its possible earlier versions.
_PORTION_BYTES = 32 * 2**20
#: A file is compared with at most so many published files, and so many that its commit removed.
_MOVED_FROM = 5
#: A tree with so many more files than the base is not listed, because a few bytes can make a tree
#: of any size.
_MOST_NEW_FILES = 200_000
_RAW = ("-r", "-z", "--raw", "--no-renames", "--no-abbrev")


@dataclass(frozen=True)
class NewBlobs:
    """The new bytes of a commit (None: of the index) and what they replace; None if unreadable.

    `before` is published text only, which the author of the range could not choose. `earlier` is
    the content of an earlier commit of the same range; it proves nothing about the new bytes.
    """

    commit: str | None
    path: str
    before: bytes = field(repr=False)
    content: bytes | None = field(repr=False)
    #: The reason why they cannot be read, with the id of the object.
    reason: str = ""
    earlier: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class _Wanted:
    commit: str | None
    path: str
    blob: str
    #: Published blobs that may contain the same bytes; then the range did not add them.
    known: tuple[str, ...] = ()
    #: Blobs of the same range for which the bytes may have been reported.
    earlier: tuple[str, ...] = ()

    @property
    def blobs(self) -> tuple[str, ...]:
        """All blobs that the comparison reads."""
        return (self.blob, *self.known, *self.earlier)


def new_blobs(git: Git, git_dir: Path, base: str, tip: str) -> Iterator[NewBlobs]:
    """Yield the contents that each commit of base..tip adds, compared with each of its parents.

    The contents of the base's tree are not added, nor are the contents of a moved file.

    Raises:
        GitFailed: a commit does not exist.
    """
    names = _commits(git, git_dir, tip, f"^{base}")
    over = _over(git, git_dir, base, names)
    for name, files in over.items():
        yield NewBlobs(name, PATHS, b"", None, f"commit {name}: a tree of {files} files")
    if not over:
        listed = git.of_objects("ls-tree", "-r", "-z", "--full-tree", base, git_dir=git_dir)
        # `<mode> <type> <oid>`, tab, path.
        entries = (entry.partition(b"\t") for entry in listed.split(b"\0") if entry)
        held = {shown_path(path): meta.decode().split(" ")[2] for meta, _, path in entries}
        yield from _Reader(git, git_dir, held).commits(names)


def pending(git: Git, git_dir: Path) -> Iterator[NewBlobs]:
    """Yield what the unpublished commits of HEAD add, then what the index adds.

    They are one range: content of an unpublished commit is not published for the index.
    """
    reader = _Reader(git, git_dir, {})
    if git.attempt("rev-parse", "--verify", "--quiet", "HEAD", git_dir=git_dir).exit_code == 0:
        yield from reader.commits(_commits(git, git_dir, "HEAD", "--not", "--remotes"))
    yield from reader.files(None, _staged_files(git, git_dir))


def staged(git: Git, git_dir: Path) -> Iterator[NewBlobs]:
    """Yield what the index adds to HEAD, which counts as published."""
    yield from _Reader(git, git_dir, {}).files(None, _staged_files(git, git_dir))


def _staged_files(git: Git, git_dir: Path) -> list[ChangedFile]:
    head = git.attempt("rev-parse", "--verify", "--quiet", "HEAD^{tree}", git_dir=git_dir)
    tree = head.stdout.decode().strip() or EMPTY_TREE
    raw = git.run("diff-index", "--cached", *_RAW, tree, git_dir=git_dir)
    return list(parse_raw(raw))


def _commits(git: Git, git_dir: Path, *revisions: str) -> list[str]:
    # Parents come first whatever the dates are, because the author of a commit chooses the dates.
    order = ("--topo-order", "--reverse")
    found = git.run("rev-list", *order, *revisions, "--", git_dir=git_dir)
    return found.decode().split()


def _over(git: Git, git_dir: Path, base: str, names: list[str]) -> dict[str, int]:
    """Return the commits whose trees are over the limit, with the number of files of each."""
    revisions = [f"{name}^{{tree}}" for name in (base, *names)]
    trees = git.run("rev-parse", *revisions, git_dir=git_dir).decode().split()
    distinct = tuple(dict.fromkeys(trees))
    files = {
        tree: extent.files
        for tree, extent in zip(distinct, extents(git, git_dir, distinct), strict=True)
    }
    limit = files[trees[0]] + _MOST_NEW_FILES
    return {
        name: files[tree]
        for name, tree in zip(names, trees[1:], strict=True)
        if files[tree] > limit
    }


class _Reader:
    """Reads one range in one repository; each new blob is read once for each path."""

    def __init__(self, git: Git, git_dir: Path, held: dict[str, str]) -> None:
        self._git = git
        self._git_dir = git_dir
        #: The blob at each path of the base.
        self._held = held
        self._held_blobs = frozenset(held.values())
        self._held_paths = "".join(f"{path}\n" for path in held)
        #: The new blobs of the commits read so far, each with the published blobs it may come from.
        self._made: dict[str, tuple[str, ...]] = {}
        self._made_paths: set[str] = set()
        self._seen: set[tuple[str, str]] = set()

    def commits(self, names: list[str]) -> Iterator[NewBlobs]:
        """Yield what these commits add, oldest first."""
        yield from self._read(_Wanted(name, COMMIT, name) for name in names)
        for name in names:
            raw = self._git.run(
                *("diff-tree", "-m", "--root", "--no-commit-id", *_RAW, name),
                git_dir=self._git_dir,
            )
            yield from self.files(name, list(parse_raw(raw)))

    def files(self, commit: str | None, files: list[ChangedFile]) -> Iterator[NewBlobs]:
        """Yield the new paths among these files, and their new contents."""
        new = list(dict.fromkeys(file.path for file in files if file.old_blob == ABSENT))
        if new:
            yield self._paths(commit, new, [file for file in files if file.old_blob != ABSENT])
        gone = {file.path: file.old_blob for file in files if file.new_blob == ABSENT}
        known = self._held_blobs | {*gone.values(), ABSENT}
        wanted = [
            self._wanted(commit, file, gone)
            for file in files
            if file.new_blob not in known and file.mode != GITLINK and self._is_first(file)
        ]
        for one in wanted:
            self._made.setdefault(one.blob, one.known)
        yield from self._read(wanted)

    def _paths(self, commit: str | None, new: list[str], old: list[ChangedFile]) -> NewBlobs:
        published, earlier = self._held_paths, ""
        for file in old:
            if file.path in self._made_paths:
                earlier += f"{file.path}\n"
            else:
                published += f"{file.path}\n"
        self._made_paths.update(new)
        content = "\n".join(new).encode()
        return NewBlobs(commit, PATHS, published.encode(), content, earlier=earlier.encode())

    def _is_first(self, file: ChangedFile) -> bool:
        key = (file.path, file.new_blob)
        is_first = key not in self._seen
        self._seen.add(key)
        return is_first

    def _wanted(self, commit: str | None, file: ChangedFile, gone: dict[str, str]) -> _Wanted:
        """Separate the possible sources of a file: published, or made by this range itself."""
        known = [self._held[file.path]] if file.path in self._held else []
        earlier = []
        for blob in self._predecessors(file, gone):
            if blob in self._made and blob not in self._held_blobs:
                known += self._made[blob]
                earlier.append(blob)
            else:
                known.append(blob)
        published = tuple(dict.fromkeys(known))[:_MOVED_FROM]
        return _Wanted(commit, file.path, file.new_blob, published, tuple(earlier))

    def _predecessors(self, file: ChangedFile, gone: dict[str, str]) -> tuple[str, ...]:
        if file.old_blob != ABSENT:
            return (file.old_blob,)
        name = file.path.rpartition("/")[2]
        moved = [blob for path, blob in gone.items() if path.rpartition("/")[2] == name]
        return tuple(moved or gone.values())[:_MOVED_FROM]

    def _read(self, wanted: Iterable[_Wanted]) -> Iterator[NewBlobs]:
        wanted = list(wanted)
        asked = {name for one in wanted for name in one.blobs}
        sizes = object_sizes(self._git, self._git_dir, asked) if asked else {}
        readable = {name for name, size in sizes.items() if size <= BLOB_LIMIT_BYTES}
        portion: list[_Wanted] = []
        names: set[str] = set()
        total = 0
        for one in wanted:
            fresh = readable.intersection(one.blobs)
            total += sum(sizes[name] for name in fresh - names)
            if portion and total > _PORTION_BYTES:
                yield from self._read_portion(portion, names, sizes)
                portion, names = [], set()
                total = sum(sizes[name] for name in fresh)
            portion.append(one)
            names |= fresh
        yield from self._read_portion(portion, names, sizes)

    def _read_portion(
        self, wanted: list[_Wanted], names: set[str], sizes: dict[str, int]
    ) -> Iterator[NewBlobs]:
        contents = read_objects(self._git, self._git_dir, names) if names else {}
        for one in wanted:
            reason = ""
            if one.blob not in contents:
                size = f"{sizes[one.blob]} bytes" if one.blob in sizes else "not there"
                reason = f"object {one.blob}: {size}"
            before, earlier = (
                b"\n".join(contents[name] for name in names if name in contents)
                for names in (one.known, one.earlier)
            )
            content = contents.get(one.blob)
            yield NewBlobs(one.commit, one.path, before, content, reason, earlier)
