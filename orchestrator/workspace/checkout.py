"""The checkout of a user, whose gates run in place."""

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
    """The working tree at `root` with its uncommitted work, compared with the commit `base`."""

    root: Path
    base: str
    _settings: Settings

    @classmethod
    def find(cls, folder: Path, base: str, settings: Settings) -> LocalCheckout:
        """Find the checkout that contains a folder, and its merge base with `base`.

        `base` is a branch or a commit.

        Raises:
            RepositoryUnavailable: the folder is in no git checkout.
            BranchUnknown: the base does not exist, or shares no history with the checked-out
                commit.
        """
        root = _located(folder, settings, "--show-toplevel")
        merge_base = _git(root, settings, "merge-base", "--", base, "HEAD")
        if merge_base.exit_code != 0:
            msg = f"{root} has no {base} that its HEAD comes from."
            raise BranchUnknown(msg, action="Name another with --base.")
        return cls(root, merge_base.stdout.decode().strip(), settings)

    def read(self, path: str) -> bytes | None:
        """Return a file of the base commit; None if it does not exist."""
        shown = self._git("show", f"{self.base}:{path}")
        return shown.stdout if shown.exit_code == 0 else None

    def paths(self) -> frozenset[str]:
        """Return every path of the base commit."""
        listed = self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.base).stdout
        return frozenset(listed.decode(errors="ignore").split("\0")) - {""}

    def contents(self) -> tuple[FileChange, ...]:
        """Return every file that differs from the base, untracked files included."""
        tracked = self._git("diff", "--name-only", "-z", "--no-renames", self.base)
        untracked = self._git("ls-files", "-z", "--others", "--exclude-standard")
        names = sorted({*tracked.stdout.split(b"\0"), *untracked.stdout.split(b"\0")} - {b""})
        return tuple(self._content(name.decode(errors="surrogateescape")) for name in names)

    def patch(self) -> str:
        """Return the difference from the base as a patch, without untracked files."""
        return self._git("diff", "--no-color", "--no-renames", self.base).stdout.decode(
            errors="replace"
        )

    def branch(self) -> str:
        """Return the checked-out branch; empty if HEAD is detached."""
        return self._git("branch", "--show-current").stdout.decode(errors="replace").strip()

    def tree(self) -> str:
        """Return the tree of HEAD, without uncommitted work."""
        return self._git("rev-parse", "HEAD^{tree}").stdout.decode().strip()

    def forget(self, path: str) -> None:
        """Remove a file that an earlier run wrote; a file that git tracks is not removed."""
        if self._git("ls-files", "--error-unmatch", "--", path).exit_code != 0:
            (self.root / path).unlink(missing_ok=True)

    def _content(self, path: str) -> FileChange:
        file = self.root / path
        after = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        return FileChange(path, self.read(path), after)

    def _git(self, *arguments: str) -> Ended:
        return _git(self.root, self._settings, *arguments)


def working_files(folder: Path, settings: Settings) -> tuple[Path, frozenset[str]]:
    """Return the root of the checkout that contains a folder, and the current paths of its files.

    Ignored files are left out.

    Raises:
        RepositoryUnavailable: the folder is in no git checkout.
    """
    root = _located(folder, settings, "--show-toplevel")
    asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = _git(root, settings, *asked).stdout.decode(errors="ignore").split("\0")
    return root, frozenset(n for n in names if n and os.path.lexists(root / n))


@dataclass(frozen=True)
class LocalCommits:
    """The commits and the index of a user's repository, read by plumbing commands only.

    No filter, hook or textconv of the repository runs. The working tree is not read.
    """

    git_dir: Path
    #: The folder that contains the folder `objects`; another one in a linked worktree.
    objects_dir: Path
    #: The address of the remote `origin`; empty if there is none.
    origin: str
    _git: Git

    @classmethod
    def find(cls, folder: Path, settings: Settings) -> LocalCommits:
        """Find the repository that contains a folder.

        Raises:
            RepositoryUnavailable: the folder is in no git checkout.
        """
        git_dir = _located(folder, settings, "--absolute-git-dir")
        origin = _git(folder, settings, "config", "--get", "remote.origin.url")
        common = _located(folder, settings, "--git-common-dir")
        objects_dir = common if common.is_absolute() else folder / common
        return cls(
            git_dir,
            objects_dir.resolve(),
            origin.stdout.decode(errors="replace").strip(),
            Git(settings),
        )

    def commit(self, revision: str) -> str:
        """Return the id of the commit that a user names; an empty name is HEAD.

        Raises:
            BranchUnknown: no such commit exists.
        """
        asked = ("--verify", "--quiet", "--end-of-options", f"{revision or 'HEAD'}^{{commit}}")
        found = self._git.attempt("rev-parse", *asked, git_dir=self.git_dir)
        if found.exit_code != 0:
            msg = f"{self.git_dir} has no commit {revision}."
            raise BranchUnknown(msg, action="Name one that `git log` shows.")
        return found.stdout.decode().strip()

    def staged(self) -> Iterator[NewBlobs]:
        """Yield the contents that the index adds."""
        return staged(self._git, self.git_dir)

    def pending(self) -> Iterator[NewBlobs]:
        """Yield the contents of the index, and of the commits of HEAD that no remote branch has."""
        return pending(self._git, self.git_dir)

    def between(self, base: str, tip: str) -> Iterator[NewBlobs]:
        """Yield the contents that the commits of base..tip add."""
        return new_blobs(self._git, self.git_dir, base, tip)


def _located(folder: Path, settings: Settings, what: str) -> Path:
    found = _git(folder, settings, "rev-parse", what)
    if found.exit_code != 0:
        msg = f"{folder} is in no git checkout."
        raise RepositoryUnavailable(msg, action="Call this inside a repository.")
    return Path(found.stdout.decode().strip())


def _git(folder: Path, settings: Settings, *arguments: str) -> Ended:
    # git uses the user's own repository and configuration here, as if the user had run it.
    argv = ("git", "-C", str(folder), *arguments)
    return run_program(argv, env=settings.host_env, timeout_s=settings.git_timeout_s)
