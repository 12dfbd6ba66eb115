"""What one capture gave: its report, and what its bundle holds for who has the mirror alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.bundle import Beside, read_heads
from orchestrator.workspace.change import CaptureReport, read_bundle, read_report
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .conftest import Host, capture, git

LIMIT = 2**26


@dataclass(frozen=True)
class Taken:
    """A capture that left a bundle, received on a host."""

    host: Host
    base: Base
    bundle: bytes
    report: CaptureReport

    @property
    def beside(self) -> dict[str, Beside]:
        """What stands beside the change, by its name."""
        return {one.name: one for one in read_heads(self.bundle).beside}

    def changed(self) -> dict[str, str]:
        """Return status and path of each file that differs from the base."""
        with self.received() as (git_dir, tree):
            raw = git(git_dir, "diff-tree", "-r", "-z", "--name-status", self.base.commit, tree)
        fields = raw.split("\0")
        return dict(zip(fields[1::2], fields[::2], strict=False))

    def modes(self) -> dict[str, str]:
        """Return the mode of each file and folder at the top of the change."""
        with self.received() as (git_dir, tree):
            listed = subprocess.run(
                ("git", "ls-tree", "-z", tree), cwd=git_dir, capture_output=True, check=True
            ).stdout
        entries = (os.fsdecode(entry) for entry in listed.split(b"\0") if entry)
        return {entry.partition("\t")[2]: entry[:6] for entry in entries}

    def content(self, path: str, ref: str = "") -> bytes:
        """Return a file of the change, or of what stands beside it."""
        candidates = self.host.candidates
        with candidates.received_whole(self.base, self.bundle, "look", 1) as (git_dir, heads):
            commit = self.beside[ref].commit if ref else heads.change
            return subprocess.run(
                ("git", "cat-file", "blob", f"{commit}:{path}"),
                cwd=git_dir,
                capture_output=True,
                check=True,
            ).stdout

    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Return the paths that were left out, by reason."""
        return {one.reason: one.paths for one in self.report.left_out}

    @contextmanager
    def received(self) -> Iterator[tuple[Path, str]]:
        """Receive the change as a gate check does."""
        candidates = self.host.candidates
        with candidates.received(self.base, self.bundle, "a1", 1, may_be_empty=True) as candidate:
            yield candidate.git_dir, candidate.tree


def take(host: Host, base: Base, workspace: Workspace) -> Taken:
    """Capture a workspace that holds something."""
    ended = capture(workspace, base)
    assert ended.exit_code == 0, ended.stderr
    return Taken(host, base, read_bundle(workspace, LIMIT), read_report(ended.stdout))


def push(folder: Path, branch: str = "main") -> None:
    """Commit all there is in a clone of people, and push it."""
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "more")
    git(folder, "push", "--quiet", "origin", branch)
