"""What every attack needs: traps that tell who sprang them, and our way of a change, end to end.

Each test shows its attack working on a naive call first: an attack that no longer bites proves
nothing about ours. The agent's own sandbox may spring traps, for what runs there is the agent; and
it is the weakest there is, for what our git keeps out must not hang on what else a host can do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import ProcessSandbox, build
from orchestrator.workspace.change import capture_command, read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import (
    NOBODY,
    Host,
    Upstream,
    base,
    git,
    host,
    make_host,
    upstream,
    workspace,
)

__all__ = ["base", "host", "make_host", "upstream", "workspace"]  # the fixtures, to pytest

LIMIT_BYTES = 2**26
INSTANT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: What git sees of a naive caller's environment.
PLAIN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_NAME": "Someone" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "someone@example.org" for who in ("AUTHOR", "COMMITTER")},
}


#: A sandbox that gives the agent a user of its own, as a container does.
ANOTHER_USER = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that another user can reach, which pytest's own is not."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def give_to_another_user(workspace: Workspace) -> None:
    """Make the workspace that user's, as a sandbox with a user of its own would."""
    if os.getuid() != 0:
        pytest.skip("only root may start a program as another user")
    for path in (workspace.root, *workspace.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@dataclass(frozen=True)
class Traps:
    """Commands that leave `PWNED-<name>`, in it the agent in whose sandbox they ran, if any."""

    folder: Path

    def arm(self, name: str) -> str:
        """Return a shell command that springs the trap of this name; no blank in a word of it."""
        return f"{self.folder}/payload {name}"

    def program(self, name: str, then: str = "") -> str:
        """Return the path of a program that springs the trap, then goes on with `then`."""
        path = self.folder / f"program-{name}"
        path.write_text(f"#!/bin/sh\n{self.arm(name)}\n{then}\n")
        path.chmod(0o755)
        return str(path)

    def sprung(self) -> set[str]:
        """Return the traps that ran outside any agent's sandbox."""
        return {
            path.name.removeprefix("PWNED-")
            for path in self.folder.glob("PWNED-*")
            if "outside" in path.read_text().split()
        }

    def sprung_inside(self) -> set[str]:
        """Return the traps that ran in an agent's sandbox."""
        return {
            path.name.removeprefix("PWNED-")
            for path in self.folder.glob("PWNED-*")
            if set(path.read_text().split()) - {"outside"}
        }

    def reset(self) -> None:
        """Forget what ran."""
        for path in self.folder.glob("PWNED-*"):
            path.unlink()


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    """Traps of this test."""
    folder = tmp_path / "traps"
    folder.mkdir()
    payload = folder / "payload"
    payload.write_text(f'#!/bin/sh\necho "${{ORCH_AGENT_ID-outside}}" >> {folder}/PWNED-$1\n')
    payload.chmod(0o755)
    return Traps(folder)


def naive(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Call git as a program that trusts the repository does; whether it fails is no matter."""
    return subprocess.run(
        ("git", *arguments),
        cwd=folder,
        env={**PLAIN, **env},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
    )


def copy_of(tree: Path, target: Path) -> Path:
    """Return a fresh copy of a hostile repository, for one naive call."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(tree, target, symlinks=True))


def weakest_sandbox(host: Host) -> ProcessSandbox:
    """Return a sandbox in which an agent may do what its user may."""
    return build(host.settings.model_copy(update={"process_level": "shim"}))


def sandboxed_capture(
    host: Host, base: Base, workspace: Workspace, *prefix: str, agent_id: str = "a1"
) -> Completed:
    """Run the capture command as the runner does, in the process sandbox, behind `prefix`."""
    command = capture_command(workspace, base)
    spec = ProcessSpec(
        agent_id=agent_id,
        argv=(*prefix, *command.argv),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(workspace.home),
            "TMPDIR": str(workspace.tmp),
            **command.env,
        },
        cwd=workspace.root,
    )
    return run_to_end(weakest_sandbox(host), spec, timeout_s=240, output_limit_bytes=65_536)


def captured(host: Host, base: Base, workspace: Workspace, agent_id: str = "a1") -> bytes:
    """Return the bundle that a capture in the sandbox leaves."""
    ended = sandboxed_capture(host, base, workspace, agent_id=agent_id)
    assert ended.exit_code == 0, ended.stderr
    return read_bundle(workspace, LIMIT_BYTES)


def delivered(host: Host, upstream: Upstream, base: Base, bundle: bytes) -> str:
    """Take a bundle the whole way that ours takes it; returns the commit that left."""
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        host.candidates.contents(candidate, base)
        host.candidates.summary(candidate, base)
        host.candidates.patch(candidate, base)
        with host.candidates.checked_out(candidate, "tests"):
            pass
        commit = host.candidates.commit(candidate, base, message="x\n", instant=INSTANT)
        host.remote.push(candidate.git_dir, upstream.url, commit, "a1")
    host.workspaces.create(base, "a2", change=bundle)
    host.mirrors.refresh(upstream.url, "main")
    for agent_id in ("a1", "a2"):
        host.workspaces.remove(agent_id)
    return commit


def files_of(git_dir: Path, commit: str) -> dict[str, str]:
    """Return the files of a commit, by their names as git quotes them."""
    listed = git(git_dir, "ls-tree", "-r", "--format=%(objectname) %(path)", commit)
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return {path: git(git_dir, "cat-file", "blob", blob) for blob, path in pairs}


@dataclass(frozen=True)
class WebServer:
    """A server on loopback that shows an empty repository to whoever knows the password."""

    url: str
    #: Path and `Authorization` of each request.
    requests: list[tuple[str, str]]


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server of this test."""
    requests: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            requests.append((self.path, authorization))
            self.send_response(200 if authorization else 401)
            if not authorization:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield WebServer(f"http://127.0.0.1:{server.server_port}", requests)
        server.shutdown()
        thread.join()
