"""The environments of one host: their folders, manifests and locks, and the removal of old ones."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import GitFailed
from orchestrator.interfaces.environment import Environment
from orchestrator.log import get_logger
from orchestrator.workspace.disk import remove_tree, sync_file_system

_PAUSE_S = 0.02

log = get_logger("environments")


class Manifest(BaseModel):
    """The description of a finished environment; it is written last, and whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Environment
    size_bytes: int
    #: The duration of the set-up.
    setup_s: float


@dataclass(frozen=True)
class StoredEnvironment:
    """A finished environment of this host."""

    digest: str
    manifest: Manifest
    #: When it was used last, in seconds since 1970.
    used_at: float


class EnvironmentCache:
    """The environments in one folder, each under the digest of what it depends on.

    An environment exists if its manifest and its folder exist. The lock of an environment is shared
    by its users and exclusive for its set-up and its removal; the kernel releases it with the
    process.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes

    def root(self, digest: str) -> Path:
        """Return the folder of an environment."""
        return self._folder / digest

    def manifest(self, digest: str) -> Manifest | None:
        """Return the manifest of a finished environment, also of one that was removed since."""
        try:
            return Manifest.model_validate_json(self._manifest(digest).read_bytes())
        except (FileNotFoundError, ValidationError):
            # Another version wrote it, or a power failure lost it: it is set up anew.
            return None

    def ready(self, digest: str) -> Manifest | None:
        """Return the manifest of an environment that can be used."""
        return self.manifest(digest) if self.root(digest).is_dir() else None

    @contextmanager
    def locked(
        self, digest: str, *, is_exclusive: bool, check: Callable[[], None] | None
    ) -> Iterator[bool]:
        """Hold the lock of an environment; yields False if it is in use and `check` is None.

        While another process holds it, `check` is called, and what it raises ends the wait.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{digest}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _lock(descriptor, is_exclusive=is_exclusive, check=check)
        finally:
            os.close(descriptor)

    def record(self, digest: str, manifest: Manifest) -> None:
        """Make an environment exist: write its manifest durably, then rename it into place.

        The disk has all of its files by then: after a power failure an empty module would be one
        of a package, and the gates would judge with it.

        Raises:
            DiskFull: the disk could not write them.
        """
        sync_file_system(self._folder)
        path = self._manifest(digest)
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            file.write(manifest.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def clear(self, digest: str) -> Path:
        """Remove what exists of an environment whose lock is held; return its folder."""
        self._manifest(digest).unlink(missing_ok=True)
        remove_tree(self.root(digest))
        return self.root(digest)

    def touch(self, digest: str) -> None:
        """Record that an environment is used now."""
        os.utime(self._manifest(digest))

    def all(self) -> tuple[StoredEnvironment, ...]:
        """Return the finished environments, the one used last first."""
        found: list[StoredEnvironment] = []
        for path in self._folder.glob("*.json"):
            # Another process may remove it at the same time.
            with suppress(FileNotFoundError):
                used_at, manifest = path.stat().st_mtime, self.ready(path.stem)
                if manifest:
                    found.append(StoredEnvironment(path.stem, manifest, used_at))
        return tuple(sorted(found, key=lambda one: -one.used_at))

    def remove(self, digest: str) -> bool:
        """Remove an environment; return False if it is in use."""
        return self._remove(digest)

    def trim(self) -> None:
        """Remove the environments that were used longest ago, until the others fit the quota.

        Also removes what killed set-ups left. An environment in use remains.
        """
        names = {path.name for path in self._folder.iterdir() if path.is_dir()}
        kept: list[tuple[float, str, int]] = []
        for name in names:
            manifest = self.manifest(name)
            if manifest is None:
                self._remove(name)
            else:
                used_at = self._manifest(name).stat().st_mtime
                kept.append((used_at, name, manifest.size_bytes))
        total = sum(size for _, _, size in kept)
        for _, name, size in sorted(kept):
            if total <= self._quota_bytes:
                return
            if self._remove(name):
                total -= size

    def _remove(self, digest: str) -> bool:
        with self.locked(digest, is_exclusive=True, check=None) as is_locked:
            if not is_locked:
                return False
            try:
                # The manifest remains: it names the products of workspaces that still exist.
                remove_tree(self.root(digest))
            except GitFailed as error:
                log.warning("environment not removed", digest=digest, reason=str(error))
                return False
        return True

    def _manifest(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def _lock(descriptor: int, *, is_exclusive: bool, check: Callable[[], None] | None) -> bool:
    kind = fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if check is None:
                return False
            check()
            time.sleep(_PAUSE_S)
        else:
            return True
