"""The submodules of a commit: their addresses, and their contents in a checkout if allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import GitFailed, RepositoryUnavailable
from orchestrator.models.identifiers import Repository
from orchestrator.settings import Settings
from orchestrator.workspace.diff import GITLINK
from orchestrator.workspace.disk import remove_tree
from orchestrator.workspace.git import Git, showable
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.worktree import check_out, new_repository

_FILE = ".gitmodules"
_KEY = re.compile(r"submodule\.(.+)\.(path|url)", re.DOTALL)
#: Bounds of one checkout, so that submodules that contain each other end.
_MOST_LEVELS = 4
MOST_SUBMODULES = 100
_ADDRESS: TypeAdapter[str] = TypeAdapter(Repository)


@dataclass(frozen=True)
class Submodule:
    """A path that pins a commit of another repository; without an address the reason is given."""

    path: str
    commit: str
    address: str
    reason: str = ""


def resolve_address(address: str, repository: str) -> str:
    """Return the address of a submodule, which may be relative to the one of its repository.

    As git does it: `./` and `../` are relative to the remote, which counts as a folder.
    """
    if not address.startswith(("./", "../")):
        return address
    head, mark, path = _split(repository.rstrip("/"))
    parts = path.split("/")
    for step in address.split("/"):
        if step == "..":
            if not [part for part in parts if part]:
                return ""
            parts.pop()
        elif step not in ("", "."):
            parts.append(step)
    return f"{head}{mark}{'/'.join(parts)}"


def _split(repository: str) -> tuple[str, str, str]:
    """Return host and path of an address, and the sign between them."""
    if "://" in repository:
        scheme, _, rest = repository.partition("://")
        host, mark, path = rest.partition("/")
        return f"{scheme}://{host}", mark, path
    if repository.startswith("/"):
        return "", "/", repository.removeprefix("/")
    return repository.partition(":")


class Submodules:
    """Finds the submodules of commits, and lays their contents out."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._allowed = settings.submodules
        self._git = git
        self._mirrors = Mirrors(settings, git)

    def of(
        self, git_dir: Path, commit: str, repository: str, *, base_commit: str = ""
    ) -> tuple[Submodule, ...]:
        """Return the submodules of a commit, at most MOST_SUBMODULES.

        Their addresses are those of the base commit, since an agent must not choose what this host
        contacts.

        Raises:
            GitFailed: the repository does not contain the commit.
        """
        asked = ("ls-tree", "-r", "-z", "--full-tree", commit)
        listed = self._git.of_objects(*asked, git_dir=git_dir)
        pins: dict[str, str] = {}
        for entry in filter(None, listed.split(b"\0")):
            # `<mode> <type> <oid>`, tab, path.
            meta, _, path = entry.partition(b"\t")
            if meta.startswith(GITLINK.encode()):
                pins[path.decode(errors="replace")] = meta.split(b" ")[2].decode()
        if not pins:
            return ()
        addresses = self._addresses(git_dir, base_commit or commit)
        return tuple(
            self._found(path, pin, addresses.get(path, ""), repository)
            for path, pin in sorted(pins.items())[:MOST_SUBMODULES]
        )

    def without_content(self, base: Base) -> tuple[Submodule, ...]:
        """Return the submodules of a base commit that are empty folders in every checkout."""
        found = self.of(base.mirror, base.commit, base.repository)
        return tuple(one for one in found if one.reason)

    def lay_out(
        self,
        worktree: Path,
        commit: str,
        repository: str,
        *,
        base_commit: str = "",
        may_be_missing: bool = False,
    ) -> None:
        """Check out the contents of the submodules of a commit that is checked out in `worktree`.

        No agent has used the worktree. A pinned commit that no remote has is left out if it may be
        missing.

        Raises:
            RepositoryUnavailable: a submodule cannot be fetched.
            DiskFull: the disk is full.
        """
        if self._allowed != "none":
            found = self.of(worktree / ".git", commit, repository, base_commit=base_commit)
            self._lay_out(worktree, found, may_be_missing=may_be_missing, level=1)

    def missing_pins(
        self, git_dir: Path, commit: str, repository: str, *, base_commit: str
    ) -> Iterator[Submodule]:
        """Yield the allowed submodules of a commit with a pin that their remote does not have."""
        if self._allowed == "none":
            return
        for one in self.of(git_dir, commit, repository, base_commit=base_commit):
            if not one.reason and not self._has(one):
                yield one

    def _lay_out(
        self,
        worktree: Path,
        found: tuple[Submodule, ...],
        *,
        may_be_missing: bool,
        level: int,
    ) -> None:
        for one in found:
            if one.reason or level > _MOST_LEVELS:
                continue
            try:
                base = self._mirrors.pinned(one.address, one.commit)
            except GitFailed as error:
                if may_be_missing:
                    continue
                msg = f"The submodule {showable(one.path)} cannot be fetched: {error.detail}"
                action = "Let this host read it, or set ORCHESTRATOR_SUBMODULES=none."
                raise RepositoryUnavailable(msg, action=action) from error
            folder = worktree / one.path
            remove_tree(folder)
            new_repository(self._git, folder)
            git_dir = folder / ".git"
            # A copy, since a sandbox shows the objects of no other repository.
            refspec = f"{one.commit}:refs/remotes/origin/HEAD"
            self._git.run(
                *("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head"),
                *("--", str(base.mirror), refspec),
                git_dir=git_dir,
            )
            (git_dir / "HEAD").write_text(f"{one.commit}\n", encoding="ascii")
            check_out(self._git, folder, one.commit)
            below = self.of(git_dir, one.commit, one.address)
            self._lay_out(folder, below, may_be_missing=may_be_missing, level=level + 1)

    def _has(self, one: Submodule) -> bool:
        try:
            self._mirrors.pinned(one.address, one.commit)
        except GitFailed:
            return False
        return True

    def _addresses(self, git_dir: Path, commit: str) -> dict[str, str]:
        """Return the address of each path that `.gitmodules` names."""
        asked = ("config", "--blob", f"{commit}:{_FILE}", "-z", "--list")
        ended = self._git.attempt(*asked, git_dir=git_dir)
        if ended.exit_code != 0:
            return {}
        tables: dict[str, dict[str, str]] = {}
        for entry in ended.stdout.decode(errors="replace").split("\0"):
            key, _, value = entry.partition("\n")
            if match := _KEY.fullmatch(key):
                tables.setdefault(match[1], {})[match[2]] = value
        return {
            str(PurePosixPath(table["path"])): table["url"]
            for table in tables.values()
            if "path" in table and "url" in table
        }

    def _found(self, path: str, pin: str, given: str, repository: str) -> Submodule:
        address = resolve_address(given, repository)
        reason = ""
        if self._allowed == "none":
            reason = "ORCHESTRATOR_SUBMODULES does not allow submodules"
        elif not given:
            reason = f"{_FILE} names no address for it"
        else:
            try:
                address = _ADDRESS.validate_python(address)
            except ValidationError:
                reason = f"its address {showable(given)} is none that may be fetched"
            else:
                if self._allowed == "same-host" and _host(address) != _host(repository):
                    reason = f"its address {showable(address)} is on another host"
        return Submodule(path, pin, address, reason)


def _host(address: str) -> str:
    if "://" in address:
        return (urlsplit(address).hostname or "").lower()
    if address.startswith("/"):
        return ""
    return address.partition(":")[0].rpartition("@")[2].lower()
