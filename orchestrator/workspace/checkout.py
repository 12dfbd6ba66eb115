"""A person's own checkout, judged where it stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BranchUnknown, RepositoryUnavailable
from orchestrator.interfaces.gate import FileChange
from orchestrator.settings import Settings
from orchestrator.workspace.git import Git
from orchestrator.workspace.host_program import Ended, run_program
from orchestrator.workspace.new_blobs import NewBlobs, new_blobs, pending, staged


@dataclass(frozen=True)
class LocalCheckout:
    """The working tree at `root`, uncommitted work included, against the commit `base`."""

    root: Path
    base: str
    _settings: Settings

    @classmethod
    def find(cls, folder: Path, base: str, settings: Settings) -> LocalCheckout:
        """Find the checkout around a folder, and where its work left the branch or commit `base`.

        Raises:
            RepositoryUnavailable: the folder is in no git checkout.
            BranchUnknown: the base is not there, or shares no history with what is checked out.
        """
        root = _located(folder, settings, "--show-toplevel")
        merge_base = _git(root, settings, "merge-base", "--", base, "HEAD")
        if merge_base.exit_code != 0:
            msg = f"{root} has no {base} that its HEAD comes from."
            raise BranchUnknown(msg, action="Name another with --base.")
        return cls(root, merge_base.stdout.decode().strip(), settings)

    def read(self, path: str) -> bytes | None:
        """Return a file of the base commit; None where there is none."""
        shown = self._git("show", f"{self.base}:{path}")
        return shown.stdout if shown.exit_code == 0 else None

    def paths(self) -> frozenset[str]:
        """Return every path of the base commit."""
        listed = self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.base).stdout
        return frozenset(listed.decode(errors="ignore").split("\0")) - {""}

    def contents(self) -> tuple[FileChange, ...]:
        """Return every file that differs from the base, untracked ones included."""
        tracked = self._git("diff", "--name-only", "-z", "--no-renames", self.base)
        untracked = self._git("ls-files", "-z", "--others", "--exclude-standard")
        names = sorted({*tracked.stdout.split(b"\0"), *untracked.stdout.split(b"\0")} - {b""})
        return tuple(self._content(name.decode(errors="surrogateescape")) for name in names)

    def patch(self) -> str:
        """Return the difference from the base as a patch, without untracked files."""
        return self._git("diff", "--no-color", "--no-renames", self.base).stdout.decode(
            errors="replace"
        )

    def tree(self) -> str:
        """Return the tree of HEAD, which uncommitted work adds to."""
        return self._git("rev-parse", "HEAD^{tree}").stdout.decode().strip()

    def forget(self, path: str) -> None:
        """Remove a file that an earlier run left here; one that git tracks stays."""
        if self._git("ls-files", "--error-unmatch", "--", path).exit_code != 0:
            (self.root / path).unlink(missing_ok=True)

    def _content(self, path: str) -> FileChange:
        file = self.root / path
        after = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        return FileChange(path, self.read(path), after)

    def _git(self, *arguments: str) -> Ended:
        return _git(self.root, self._settings, *arguments)


def working_files(folder: Path, settings: Settings) -> tuple[Path, frozenset[str]]:
    """Return the root of the checkout around a folder, and the paths of its files as they stand.

    Those that git ignores are left out.

    Raises:
        RepositoryUnavailable: the folder is in no git checkout.
    """
    root = _located(folder, settings, "--show-toplevel")
    asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = _git(root, settings, *asked).stdout.decode(errors="ignore").split("\0")
    return root, frozenset(n for n in names if n and os.path.lexists(root / n))


@dataclass(frozen=True)
class LocalCommits:
    """What stands in a person's own repository: commits and the index, read by plumbing alone.

    None of its filters, hooks or textconv runs, and its working tree is not looked at.
    """

    git_dir: Path
    #: Where `origin` is; empty if it is nowhere.
    origin: str
    _git: Git

    @classmethod
    def find(cls, folder: Path, settings: Settings) -> LocalCommits:
        """Find the repository around a folder.

        Raises:
            RepositoryUnavailable: the folder is in no git checkout.
        """
        git_dir = _located(folder, settings, "--absolute-git-dir")
        origin = _git(folder, settings, "config", "--get", "remote.origin.url")
        return cls(git_dir, origin.stdout.decode(errors="replace").strip(), Git(settings))

    def commit(self, revision: str) -> str:
        """Return the id of the commit a person names; an empty name is HEAD.

        Raises:
            BranchUnknown: there is none.
        """
        asked = ("--verify", "--quiet", "--end-of-options", f"{revision or 'HEAD'}^{{commit}}")
        found = self._git.attempt("rev-parse", *asked, git_dir=self.git_dir)
        if found.exit_code != 0:
            msg = f"{self.git_dir} has no commit {revision}."
            raise BranchUnknown(msg, action="Name one that `git log` shows.")
        return found.stdout.decode().strip()

    def staged(self) -> Iterator[NewBlobs]:
        """Yield what the index brings in."""
        return staged(self._git, self.git_dir)

    def pending(self) -> Iterator[NewBlobs]:
        """Yield what commits of HEAD that no branch of a remote has, and the index, bring in."""
        return pending(self._git, self.git_dir)

    def between(self, base: str, tip: str) -> Iterator[NewBlobs]:
        """Yield what the commits of base..tip bring in."""
        return new_blobs(self._git, self.git_dir, base, tip)


def _located(folder: Path, settings: Settings, what: str) -> Path:
    found = _git(folder, settings, "rev-parse", what)
    if found.exit_code != 0:
        msg = f"{folder} is in no git checkout."
        raise RepositoryUnavailable(msg, action="Call this inside a repository.")
    return Path(found.stdout.decode().strip())


def _git(folder: Path, settings: Settings, *arguments: str) -> Ended:
    # The person's own repository and configuration: as if they had called git themselves.
    argv = ("git", "-C", str(folder), *arguments)
    return run_program(argv, env=settings.host_env, timeout_s=settings.git_timeout_s)
