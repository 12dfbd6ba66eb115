"""A token reaches the remote it is meant for, and stands nowhere else."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.errors import (
    CredentialsUnavailable,
    GitFailed,
    RepositoryUnavailable,
    SettingsInvalid,
)
from orchestrator.settings import load_settings
from tests.doubles.git_http import GitServer, git_server

from .conftest import Host, Upstream, git

TOKEN = "-".join(("token", secrets.token_hex(12)))
ENCODED = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


@pytest.fixture
def server(upstream: Upstream) -> Iterator[GitServer]:
    """Serve the upstream to the token only."""
    git(upstream.path, "config", "http.receivepack", "true")
    with git_server(upstream.path.parent, login=f"x-access-token:{TOKEN}") as running:
        yield running


@pytest.fixture
def reported(make_host: Callable[..., Host], server: GitServer) -> Host:
    """Make a host that has the token for the server."""
    return make_host(GIT_TOKEN=TOKEN, GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}")


def url(server: GitServer) -> str:
    return f"{server.url}/upstream.git"


def arguments() -> set[bytes]:
    """Return the command line of every process of this machine."""
    seen = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen.add((process / "cmdline").read_bytes())
        except OSError:
            continue
    return seen


def test_a_push_with_a_token_leaves_it_nowhere(reported: Host, server: GitServer, tmp_path: Path):
    argvs: set[bytes] = set()
    server.on_request = lambda: argvs.update(arguments())
    base = reported.mirrors.refresh(url(server), "main")
    tree = f"{base.commit}^{{tree}}"
    made = reported.git.run("commit-tree", tree, "-m", "one", git_dir=base.mirror)
    commit = made.decode().strip()
    reported.remote.push(base.mirror, url(server), commit, "a1")
    assert git(tmp_path / "upstream.git", "rev-parse", "agent/a1") == commit
    assert any(b"push" in argv for argv in argvs)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    for secret in (TOKEN.encode(), ENCODED.encode()):
        assert not [argv for argv in argvs if secret in argv]
        assert not [path for path in written if secret in path.read_bytes()]


def test_the_naive_way_shows_it_in_the_arguments(server: GitServer, tmp_path: Path):
    """What the test above would see if the token went the usual way."""
    argvs: set[bytes] = set()
    server.on_request = lambda: argvs.update(arguments())
    header = f"http.extraHeader=Authorization: Basic {ENCODED}"
    git(tmp_path, "-c", header, "ls-remote", url(server))
    assert [argv for argv in argvs if ENCODED.encode() in argv]


def test_a_remote_that_says_the_token_back_is_masked(reported: Host, server: GitServer):
    said = f"no: {TOKEN} {ENCODED}".encode()
    server.instead = [(403, {"Content-Type": "text/plain"}, said)] * 2
    with pytest.raises(RepositoryUnavailable) as refusal:
        reported.mirrors.refresh(url(server), "main")
    assert "[token]" in str(refusal.value)
    assert TOKEN not in str(refusal.value)
    assert ENCODED not in str(refusal.value)


def test_another_host_is_told_nothing(
    make_host: Callable[..., Host], server: GitServer, upstream: Upstream
):
    host = make_host(GIT_TOKEN=TOKEN, GIT_TOKEN_HOSTS="git.example.org")
    with pytest.raises(RepositoryUnavailable):
        host.mirrors.refresh(url(server), "main")
    assert set(server.authorizations) == {""}


def test_a_redirect_is_told_nothing(reported: Host, server: GitServer, upstream: Upstream):
    with git_server(upstream.path.parent, login="nobody:") as other:
        server.instead = [
            (302, {"Location": f"{other.url}/upstream.git/info/refs?service=git-upload-pack"}, b"")
        ] * 2
        with pytest.raises(GitFailed):
            reported.mirrors.refresh(url(server), "main")
        assert other.authorizations == []


def test_the_command_is_asked_at_each_use_and_told_for_whom(
    make_host: Callable[..., Host], server: GitServer, tmp_path: Path
):
    """So a token that expires during a long run is a new one at the push."""
    asked = tmp_path / "asked"
    command = tmp_path / "token.sh"
    command.write_text(f'#!/bin/sh\necho "$GIT_TOKEN_HOST" >> {asked}\necho {TOKEN}\n')
    command.chmod(0o755)
    host = make_host(GIT_TOKEN_COMMAND=str(command))
    for _ in range(2):
        host.mirrors.refresh(url(server), "main")
    # The branch and the tags are two contacts.
    assert asked.read_text().split() == [f"127.0.0.1:{server.port}"] * 4


@pytest.mark.parametrize("command", ["false", "true", "/nowhere/token", "echo two words", "'"])
def test_a_command_without_a_token_is_named_and_its_output_is_not(
    make_host: Callable[..., Host], server: GitServer, command: str
):
    host = make_host(GIT_TOKEN_COMMAND=command)
    with pytest.raises(CredentialsUnavailable, match="GIT_TOKEN_COMMAND") as failure:
        host.mirrors.refresh(url(server), "main")
    assert "two words" not in failure.value.detail
    assert server.paths == []


def test_a_token_without_its_hosts_stops_the_start():
    with pytest.raises(SettingsInvalid, match="GIT_TOKEN_HOSTS"):
        load_settings({"PATH": os.environ["PATH"], "GIT_TOKEN": TOKEN})
