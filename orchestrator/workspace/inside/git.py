"""Bare repositories of the capture, and git in them without any configuration of the agent."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from collections.abc import Iterable, Mapping, Sequence

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.quotePath": "false",
    # names.py checks the names, and reports which one was left out.
    "core.protectNTFS": "false",
    "core.protectHFS": "false",
    "core.bigFileThreshold": "16m",
    "index.version": "2",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    # Harmless faults of old tools, as in `workspace.git`.
    "fsck.badTimezone": "ignore",
    "fsck.missingSpaceBeforeDate": "ignore",
    "fsck.zeroPaddedFilemode": "ignore",
}
#: Larger content is never in memory as a whole.
STREAMED_BYTES = 16 * 2**20
_CHUNK = 2**20


def _program() -> str:
    """Return the path of git, which is searched once and not at each start."""
    folders = os.environ.get("PATH", os.defpath).split(":")
    found = (os.path.join(folder, "git") for folder in folders if folder)
    return next((path for path in found if os.access(path, os.X_OK)), "git")


_PROGRAM = _program()


class GitError(Exception):
    """A git command failed; the text is git's message."""


class GitKilled(Exception):
    """A signal ended git: what it would have said is unknown, so nothing can stand in for it."""


class Changing(Exception):
    """The content of a file changes while it is read."""


def check_killed(exit_code: int) -> None:
    """Raise GitKilled if git was ended by a signal."""
    if exit_code < 0:
        msg = f"git was ended by signal {-exit_code}"
        raise GitKilled(msg)


def _environment(git_dir: bytes) -> dict[bytes, bytes]:
    kept = {name: value for name, value in os.environb.items() if not name.startswith(b"GIT_")}
    identity = {n: v for n, v in os.environb.items() if n.startswith((b"GIT_AUTHOR", b"GIT_COMM"))}
    settings = {
        b"LC_ALL": b"C",
        b"GIT_DIR": git_dir,
        b"GIT_CONFIG_NOSYSTEM": b"1",
        b"GIT_CONFIG_GLOBAL": os.fsencode(os.devnull),
        b"GIT_ATTR_NOSYSTEM": b"1",
        b"GIT_TERMINAL_PROMPT": b"0",
        b"GIT_NO_REPLACE_OBJECTS": b"1",
        b"GIT_OPTIONAL_LOCKS": b"0",
        b"GIT_CONFIG_COUNT": str(len(_CONFIG)).encode(),
    }
    for index, (key, value) in enumerate(_CONFIG.items()):
        settings[b"GIT_CONFIG_KEY_%d" % index] = key.encode()
        settings[b"GIT_CONFIG_VALUE_%d" % index] = value.encode()
    return {**kept, **identity, **settings}


class Repository:
    """One bare repository of the capture; it reads the objects of others and writes its own."""

    def __init__(self, path: bytes, alternates: Sequence[bytes]) -> None:
        self.path = path
        self._environment = _environment(path)
        # The same folders as `git init` makes, in a fraction of its time.
        for folder in (b"objects/info", b"refs", b"info"):
            os.makedirs(os.path.join(path, folder))
        self._write(b"HEAD", b"ref: refs/heads/none\n")
        self._write(b"config", b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        # Each entry ends at a newline, so a path that contains one cannot be an entry.
        lines = [one + b"\n" for one in alternates if b"\n" not in one]
        self._write(b"objects/info/alternates", b"".join(lines))

    def _write(self, name: bytes, content: bytes) -> None:
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(content)

    def write_excludes(self, patterns: Iterable[str]) -> None:
        """Write this repository's `info/exclude`."""
        self._write(b"info/exclude", "".join(f"{one}\n" for one in patterns).encode())

    def write_refs(self, refs: Mapping[bytes, bytes]) -> None:
        """Set all refs at once."""
        lines = [b"%s %s\n" % (refs[name], name) for name in sorted(refs)]
        self._write(
            b"packed-refs", b"# pack-refs with: peeled fully-peeled sorted \n" + b"".join(lines)
        )

    def start(
        self,
        *arguments: str | bytes,
        env: Mapping[bytes, bytes] | None = None,
        stdin: int = subprocess.PIPE,
        cwd: bytes | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start git in this repository; its output and its messages arrive by pipes."""
        return subprocess.Popen(
            (_PROGRAM, *arguments),
            env={**self._environment, **(env or {})},
            cwd=cwd or self.path,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def attempt(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        env: Mapping[bytes, bytes] | None = None,
        cwd: bytes | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Run git; returns exit code, output and messages.

        Raises:
            GitKilled: a signal ended it.
        """
        process = self.start(*arguments, env=env, cwd=cwd)
        output, words = process.communicate(stdin)
        check_killed(process.returncode)
        return process.returncode, output, words

    def run(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        env: Mapping[bytes, bytes] | None = None,
        cwd: bytes | None = None,
    ) -> bytes:
        """Run git; returns its output.

        Raises:
            GitError: it failed.
        """
        code, output, words = self.attempt(*arguments, stdin=stdin, env=env, cwd=cwd)
        if code != 0:
            raise GitError(words.decode(errors="replace").strip())
        return output

    def write_blob(self, data: bytes) -> bytes:
        """Write a blob; returns its id."""
        name = blob_id(data)
        path = self._object(name)
        if not os.path.exists(path):
            _replace(path, [zlib.compress(b"blob %d\0" % len(data) + data, 1)])
        return name

    def write_stream(self, descriptor: int) -> bytes:
        """Write the content of a file as a blob, in little memory; returns its id.

        Raises:
            Changing: the file became shorter meanwhile.
        """
        size = os.fstat(descriptor).st_size
        temporary = os.path.join(self.path, b"objects", b"incoming")
        digest, packer = hashlib.sha1(), zlib.compressobj(1)
        left, chunk = size, b"blob %d\0" % size
        with open(temporary, "wb") as target:
            while True:
                digest.update(chunk)
                target.write(packer.compress(chunk))
                if not left:
                    break
                chunk = os.read(descriptor, min(left, _CHUNK))
                if not chunk:
                    raise Changing
                left -= len(chunk)
            target.write(packer.flush())
        name = digest.hexdigest().encode()
        path = self._object(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(temporary, path)
        return name

    def _object(self, name: bytes) -> bytes:
        return os.path.join(self.path, b"objects", name[:2], name[2:])


def blob_id(data: bytes) -> bytes:
    """Return git's id for this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest().encode()


def stream_id(descriptor: int) -> bytes:
    """Return git's id for the content of a file, read in little memory.

    Raises:
        Changing: the file became shorter meanwhile.
    """
    size = os.fstat(descriptor).st_size
    digest, left = hashlib.sha1(b"blob %d\0" % size), size
    while left:
        chunk = os.read(descriptor, min(left, _CHUNK))
        if not chunk:
            raise Changing
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest().encode()


def remove(path: bytes) -> None:
    """Remove a file, a link or a folder with its contents; no link is followed.

    A folder that is too deep for that gets another name: the workspace is removed later.

    Raises:
        OSError: neither is possible.
    """
    try:
        _remove(path)
    except (OSError, RecursionError):
        os.rename(path, b"%s.%s" % (path, os.urandom(4).hex().encode()))


def _remove(path: bytes) -> None:
    if not os.path.lexists(path):
        return
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    for name in os.listdir(path):
        _remove(os.path.join(path, name))
    os.rmdir(path)


def _replace(path: bytes, chunks: Iterable[bytes]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + b".new"
    with open(temporary, "wb") as target:
        target.writelines(chunks)
    os.replace(temporary, path)
