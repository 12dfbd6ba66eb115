"""Makes a tree of the files in a worktree; files that are as checked out keep their blobs."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from .conversion import Conversion
from .git import STREAMED_BYTES, Changing, Repository, blob_id, stream_id
from .index import CheckedOut
from .job import Report
from .survey import GITLINK, Surveyor

_FILE, _PROGRAM, _LINK = b"100644", b"100755", b"120000"
_ABSENT = b"0" * 40
#: The number of files that are converted at a time.
_PORTION = 200

#: Mode and blob.
Found = tuple[bytes, bytes]


def read_tree(repository: Repository, commit: bytes) -> dict[bytes, Found]:
    """Return the entry of a tree at each path.

    Raises:
        GitError: the tree does not exist.
    """
    listed = repository.run("ls-tree", "-r", "-z", "--full-tree", commit)
    tree = {}
    for entry in listed.split(b"\0")[:-1]:
        # `<mode> <type> <oid>`, tab, path.
        meta, _, path = entry.partition(b"\t")
        tree[path] = (meta[:6], meta[-40:])
    return tree


class Taking:
    """Compares one worktree's files with the tree from which it started."""

    def __init__(
        self,
        repository: Repository,
        root: bytes,
        base: Mapping[bytes, Found],
        report: Report,
        shown_as: bytes = b"",
    ) -> None:
        self._repository = repository
        self._root = root
        self._base = base
        self._report = report
        self._conversion = Conversion(repository, base)
        self._shown_as = shown_as

    def changes(
        self,
        survey: Surveyor,
        checked_out: CheckedOut | None = None,
        pins: Mapping[bytes, bytes] | None = None,
        is_sparse: Callable[[bytes], bool] = lambda _: False,
    ) -> dict[bytes, Found | None]:
        """Return each path that differs from the base: its entry, or None if it was removed.

        `pins` are the commits of the base's submodules. An absent sparse file does not count as
        removed.
        """
        changes: dict[bytes, Found | None] = {}
        converted: dict[bytes, bytes] = {}
        present = set(survey.files)
        for path in survey.files:
            if checked_out and self._is_untouched(path, checked_out):
                continue
            with self._naming(path):
                mode, blob = self._found(path)
                if blob:
                    self._record(changes, path, (mode, blob))
                else:
                    converted[path] = mode
        # In portions, because the converted contents of the base are in memory meanwhile.
        paths = list(converted)
        for start in range(0, len(paths), _PORTION):
            portion = paths[start : start + _PORTION]
            self._conversion.prepare(portion)
            for path in portion:
                with self._naming(path):
                    self._record(changes, path, (converted[path], self._converted(path)))
        for path in self._base.keys() - present:
            mode, blob = self._base[path]
            if mode == GITLINK:
                self._record_pin(changes, path, (pins or {}).get(path, blob), present)
            elif not survey.is_unseen(path) and not is_sparse(path):
                changes[path] = None
        return changes

    def _record(self, changes: dict[bytes, Found | None], path: bytes, found: Found) -> None:
        if found != self._base.get(path):
            changes[path] = found

    def _record_pin(
        self,
        changes: dict[bytes, Found | None],
        path: bytes,
        commit: bytes,
        present: Iterable[bytes],
    ) -> None:
        is_replaced = any(other.startswith(path + b"/") for other in present)
        if is_replaced or not os.path.isdir(os.path.join(self._root, path)):
            changes[path] = None
        else:
            self._record(changes, path, (GITLINK, commit))

    def _is_untouched(self, path: bytes, checked_out: CheckedOut) -> bool:
        if path not in self._base:
            return False
        try:
            status = os.lstat(b"%s/%s" % (self._root, path))
        except OSError:
            return False  # read again, and reported
        return checked_out.is_untouched(path, status, self._base[path])

    def _found(self, path: bytes) -> Found:
        """Return the entry of a file; without a blob if git has to convert it."""
        where = os.path.join(self._root, path)
        before = self._base.get(path, (b"", b""))[1]
        status = os.lstat(where)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(where)
            return _LINK, self._written(target, before)
        mode = _PROGRAM if status.st_mode & stat.S_IXUSR else _FILE
        descriptor = _opened(where)
        try:
            if os.fstat(descriptor).st_size > STREAMED_BYTES:
                # Too large for text that a conversion applies to.
                blob = stream_id(descriptor)
                if blob != before:
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    blob = self._repository.write_stream(descriptor)
                return mode, blob
            data = _read(descriptor)
        finally:
            os.close(descriptor)
        if self._conversion.is_possible and b"\n" not in path and blob_id(data) != before:
            return mode, b""
        return mode, self._written(data, before)

    def _converted(self, path: bytes) -> bytes:
        descriptor = _opened(os.path.join(self._root, path))
        try:
            data = _read(descriptor)
        finally:
            os.close(descriptor)
        mode, blob = self._base.get(path, (b"", b""))
        before = blob if mode in (_FILE, _PROGRAM) else None
        return self._conversion.stored(path, data, before) or self._repository.write_blob(data)

    def _written(self, data: bytes, before: bytes) -> bytes:
        return before if blob_id(data) == before else self._repository.write_blob(data)

    @contextmanager
    def _naming(self, path: bytes) -> Iterator[None]:
        """Report a file that cannot be read; a file that was removed meanwhile is not reported."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            self._report.leave(os.path.join(self._shown_as, path), f"unreadable ({error.strerror})")
        except Changing:
            self._report.leave(os.path.join(self._shown_as, path), "changing while it was read")


def write_tree(
    repository: Repository, base: bytes, changes: Mapping[bytes, Found | None], name: bytes
) -> bytes:
    """Return the tree with these changes; `name` is the name of an index in the repository."""
    index = os.path.join(repository.path, name)
    env = {b"GIT_INDEX_FILE": index}
    if not os.path.exists(index):
        repository.run("read-tree", base or "--empty", env=env)
    # Removals come first, because a folder may replace a file.
    gone = [b"0 %s\t%s\0" % (_ABSENT, path) for path, found in changes.items() if not found]
    new = [b"%s %s\t%s\0" % (*found, path) for path, found in changes.items() if found]
    update = ("update-index", "--replace", "-z", "--index-info")
    repository.run(*update, stdin=b"".join([*gone, *new]), env=env)
    return repository.run("write-tree", env=env).strip()


def _opened(path: bytes) -> int:
    # Non-blocking, because opening a pipe that replaced the file would block for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except PermissionError:
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) | stat.S_IRUSR)
        return os.open(path, flags)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()
