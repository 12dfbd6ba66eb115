"""Real repositories for the workspace package: an upstream, and hosts that fetch from it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.settings import Settings, load_settings
from orchestrator.workspace.change import Candidates, capture_command
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import Remote
from orchestrator.workspace.worktree import Workspace
from tests import disks

NOBODY = 65_534


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    """Run git as a person (or a naive program) would; what it prints is returned."""
    ended = subprocess.run(
        ("git", *arguments),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": "Someone" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "someone@example.org" for who in ("AUTHOR", "COMMITTER")},
        },
    )
    return ended.stdout.strip()


@dataclass(frozen=True)
class Upstream:
    """A bare repository, as a remote holds it, and a clone through which people push to it."""

    path: Path
    clone: Path

    @property
    def url(self) -> str:
        return str(self.path)

    def commit(self, branch: str = "main", **files: str) -> str:
        """Push one more commit to this branch and return its id."""
        git(self.clone, "checkout", "--quiet", "-B", branch)
        for name, content in files.items():
            (self.clone / name).write_text(content)
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", "more")
        git(self.clone, "push", "--quiet", "--force", "origin", branch)
        return git(self.clone, "rev-parse", "HEAD")


@dataclass(frozen=True)
class Host:
    """One machine and its workspaces."""

    settings: Settings
    git: Git
    mirrors: Mirrors
    workspaces: Workspaces
    candidates: Candidates
    remote: Remote


@dataclass(frozen=True)
class Captured:
    exit_code: int
    stderr: bytes
    stdout: bytes = b""


def capture(workspace: Workspace, base: Base, before: tuple[str, ...] = ()) -> Captured:
    """Run the capture command as the runner does in the agent's sandbox; `before` starts it."""
    command = capture_command(workspace, base)
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace.home), "TMPDIR": str(workspace.tmp)}
    ended = subprocess.run(
        (*before, *command.argv),
        cwd=workspace.root,
        env={**env, **command.env},
        capture_output=True,
        check=False,
    )
    return Captured(ended.returncode, ended.stderr, ended.stdout)


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A repository with two files on `main`."""
    made = Upstream(tmp_path / "upstream.git", tmp_path / "people")
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", made.url)
    git(tmp_path, "init", "--quiet", "-b", "main", str(made.clone))
    git(made.clone, "remote", "add", "origin", made.url)
    made.commit(**{"README.md": "hello\n", ".gitignore": "build/\n"})
    return made


@pytest.fixture
def make_host(tmp_path: Path) -> Callable[..., Host]:
    """Build the host of this name, with these variables set there."""

    def make(name: str = "host", **variables: str) -> Host:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ORCHESTRATOR_HOME": str(tmp_path / name),
            **variables,
        }
        settings = load_settings(environ, dotenv=tmp_path / "no.env")
        runner = Git(settings)
        return Host(
            settings,
            runner,
            Mirrors(settings, runner),
            Workspaces(settings, runner),
            Candidates(settings, runner),
            Remote(runner),
        )

    return make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """One machine."""
    return make_host()


@pytest.fixture
def base(host: Host, upstream: Upstream) -> Base:
    """The tip of the upstream's `main` in the machine's mirror."""
    return host.mirrors.refresh(upstream.url, "main")


@pytest.fixture
def workspace(host: Host, base: Base) -> Workspace:
    """A workspace of agent `a1` at `base`."""
    return host.workspaces.create(base, "a1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with disks.small_disk(tmp_path / "small", "1m") as where:
        yield where


@pytest.fixture
def hanging_ssh(tmp_path: Path) -> tuple[str, Path]:
    """A PATH whose `ssh` opens the named pipe also given, and so hangs, deaf to SIGTERM."""
    programs = tmp_path / "programs"
    programs.mkdir()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (programs / "ssh").write_text(
        f'#!/bin/sh\ntrap "" TERM\necho $$ > {pipe}.pid\nexec cat "{pipe}"\n'
    )
    (programs / "ssh").chmod(0o755)
    return f"{programs}:{os.environ['PATH']}", pipe
