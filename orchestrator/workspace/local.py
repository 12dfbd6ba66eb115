"""A person's own checkout, judged where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BranchUnknown, RepositoryUnavailable
from orchestrator.ports import FileChange
from orchestrator.settings import Settings
from orchestrator.workspace.program import Ended, run_program


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
        found = _git(folder, settings, "rev-parse", "--show-toplevel")
        if found.exit_code != 0:
            msg = f"{folder} is in no git checkout."
            raise RepositoryUnavailable(msg, action="Call this inside the repository to judge.")
        root = Path(found.stdout.decode().strip())
        merge_base = _git(root, settings, "merge-base", "--", base, "HEAD")
        if merge_base.exit_code != 0:
            msg = f"{root} has no {base} that its HEAD comes from."
            raise BranchUnknown(msg, action="Name another with --base.")
        return cls(root, merge_base.stdout.decode().strip(), settings)

    def read(self, path: str) -> bytes | None:
        """Return a file of the base commit; None where there is none."""
        shown = self._git("show", f"{self.base}:{path}")
        return shown.stdout if shown.exit_code == 0 else None

    def contents(self) -> tuple[FileChange, ...]:
        """Return every file that differs from the base, untracked ones included."""
        tracked = self._git("diff", "--name-only", "-z", "--no-renames", self.base)
        untracked = self._git("ls-files", "-z", "--others", "--exclude-standard")
        names = sorted({*tracked.stdout.split(b"\0"), *untracked.stdout.split(b"\0")} - {b""})
        return tuple(self._content(name.decode(errors="surrogateescape")) for name in names)

    def patch(self) -> str:
        """Return the difference from the base as a patch, without untracked files."""
        return self._git("diff", "--no-color", self.base).stdout.decode(errors="replace")

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


def _git(folder: Path, settings: Settings, *arguments: str) -> Ended:
    # The person's own repository and configuration: as if they had called git themselves.
    argv = ("git", "-C", str(folder), *arguments)
    return run_program(argv, env=settings.host_env, timeout_s=settings.git_timeout_s)
