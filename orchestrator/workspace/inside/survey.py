"""Lists the files of a worktree that a capture includes, and the names of those left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping

from .git import Repository
from .job import Report
from .names import is_core_dump, is_refused, may_be_core_dump
from .repositories import open_folder

GITLINK = b"160000"
_EXCLUDES = b"info/exclude"
_HEAD_BYTES = 18


class Surveyor:
    """Walks one worktree level by level, so that few calls of git match its patterns."""

    def __init__(
        self,
        repository: Repository,
        root: bytes,
        tracked: Mapping[bytes, tuple[bytes, bytes]],
        wanted: Collection[bytes],
        report: Report,
        shown_as: bytes = b"",
    ) -> None:
        """`tracked` paths are in the base; `wanted` ones are included despite a .gitignore."""
        self._repository = repository
        self._root = root
        self._tracked = tracked
        self._folders = _folders(tracked)
        self._wanted = wanted
        self._wanted_folders = _folders(wanted)
        self._report = report
        self._shown_as = shown_as
        #: The files that may be included.
        self.files: list[bytes] = []
        #: Folders with their own repository.
        self.nested: list[bytes] = []
        #: Folders that cannot be read; the base's files in them stay in the tree.
        self._unseen: list[bytes] = []
        #: Folders of the base that match an exclude pattern; the base has them, so they are
        #: included.
        self._lifted: tuple[bytes, ...] = ()
        self._walk()

    def is_unseen(self, path: bytes) -> bool:
        """Return whether a path lies in a folder that cannot be read."""
        return any(path.startswith(folder) for folder in self._unseen)

    def _walk(self) -> None:
        level = [b""]
        while level:
            found = [one for folder in level for one in self._scan(folder)]
            ignored = self._ignored([path for path, _, _ in found if path not in self._tracked])
            level = []
            for path, is_folder, is_plain in found:
                if path in ignored and not self._is_taken_anyway(path, ignored[path]):
                    self._leave(path, ignored[path])
                elif is_folder:
                    level.append(path)
                elif is_plain or self._is_file(path):
                    self.files.append(path)

    def _scan(self, folder: bytes) -> Iterator[tuple[bytes, bool, bool]]:
        """Yield each path of a folder, whether it is a folder, and whether it is surely a file."""
        where = os.path.join(self._root, folder)
        try:
            entries = _entries(where)
        except OSError as error:
            self._unseen.append(folder and folder + b"/")
            self._leave(folder, f"unreadable folder ({error.strerror})")
            return
        names = {entry.name for entry in entries}
        if folder and b".git" in names and not self._is_entered(folder):
            return
        if b"pyvenv.cfg" in names and folder and folder not in self._folders:
            self._leave(folder, "dropping")
            return
        start = folder + b"/" if folder else b""
        for entry in entries:
            path = start + entry.name
            if path == b".git":
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if path in self._tracked and not is_folder:
                # The base contains its name, so git accepts it.
                yield path, False, entry.is_file(follow_symlinks=False)
            elif is_refused(entry.name, is_link=entry.is_symlink(), is_folder=is_folder):
                self._leave(path, "name that git refuses")
            else:
                yield path, is_folder, False

    def _is_entered(self, folder: bytes) -> bool:
        """Return whether a folder with a `.git` is walked; a folder of the base always is."""
        if not _is_repository(os.path.join(self._root, folder, b".git")):
            return True
        self.nested.append(folder)
        if folder in self._folders:
            return True
        if self._tracked.get(folder, (b"",))[0] != GITLINK:
            self._leave(folder, "nested repository")
        return False

    def _is_taken_anyway(self, path: bytes, reason: str) -> bool:
        if path in self._folders:
            if reason == "dropping":
                self._lifted += (path + b"/",)
            return True
        if reason == "dropping":
            return path.startswith(self._lifted)
        return path in self._wanted or path in self._wanted_folders

    def _is_file(self, path: bytes) -> bool:
        where = os.path.join(self._root, path)
        try:
            mode = os.lstat(where).st_mode
            if stat.S_ISLNK(mode):
                return True
            if not stat.S_ISREG(mode):
                self._leave(path, "no file: a pipe, socket or device")
                return False
            if may_be_core_dump(path.rpartition(b"/")[2]) and path not in self._tracked:
                with open(where, "rb") as file:
                    if is_core_dump(file.read(_HEAD_BYTES)):
                        self._leave(path, "dropping")
                        return False
        except FileNotFoundError:
            return False
        except OSError:
            pass  # reported where it is read
        return True

    def _ignored(self, paths: list[bytes]) -> dict[bytes, str]:
        """Return the paths that a pattern excludes, of the orchestrator or of a .gitignore."""
        if not paths:
            return {}
        code, output, words = self._repository.attempt(
            *("check-ignore", "--no-index", "--stdin", "-v", "-z"),
            # With a folder before it, no path is read as pathspec magic.
            stdin=b"".join(b"./%s\0" % path for path in paths),
            env={b"GIT_WORK_TREE": self._root},
        )
        if code not in (0, 1):
            # If git fails, no path is excluded, because too many files are better than too few.
            said = words.decode(errors="replace").strip()
            self._report.leave(said, "ignore patterns that could not be read (nothing is lost)")
            return {}
        # Source, line, pattern, path, each ended by NUL.
        fields = output.split(b"\0")
        return {
            path[2:]: "dropping" if source.endswith(_EXCLUDES) else "ignored"
            for source, pattern, path in zip(fields[::4], fields[2::4], fields[3::4])
            if not pattern.startswith(b"!")
        }

    def _leave(self, path: bytes, reason: str) -> None:
        self._report.leave(os.path.join(self._shown_as, path) or b".", reason)


def _folders(paths: Iterable[bytes]) -> set[bytes]:
    """Return every parent folder of these paths."""
    found: set[bytes] = set()
    for path in paths:
        folder = path.rpartition(b"/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition(b"/")[0]
    return found


def _entries(folder: bytes) -> list[os.DirEntry[bytes]]:
    """List a folder, opened first if its owner closed it: git would leave its contents out."""
    try:
        entries = list(os.scandir(folder))
        if not entries or os.access(folder, os.X_OK):
            return entries
    except PermissionError:
        pass
    open_folder(folder)
    return list(os.scandir(folder))


def _is_repository(git: bytes) -> bool:
    """Return whether a `.git` is a repository: a folder with a HEAD, or a file with its path."""
    try:
        if os.path.isdir(git):
            return any(os.path.lexists(os.path.join(git, name)) for name in (b"HEAD", b"objects"))
        with open(git, "rb") as file:
            return file.read(8) == b"gitdir: "
    except OSError:
        return False
