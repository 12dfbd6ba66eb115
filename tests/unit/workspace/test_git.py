"""No prompt blocks, no transport surprises, no credential shows, and the deadline ends all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import GitKilled, GitTimedOut, HostExhausted
from orchestrator.workspace.git import showable
from orchestrator.workspace.host_program import Ended

from .conftest import Host


def test_a_missing_credential_is_an_error_and_never_a_question(host: Host, tmp_path: Path) -> None:
    ended = host.git.attempt(
        *("credential", "fill"), git_dir=tmp_path, stdin=b"protocol=https\nhost=example.org\n\n"
    )
    assert ended.exit_code != 0
    assert "prompts disabled" in ended.stderr or "could not read" in ended.stderr


def test_the_environment_of_the_worker_does_not_reach_git(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'planted.key'='1'")
    monkeypatch.setenv("GIT_INDEX_FILE", "/planted")
    assert host.git.attempt("config", "planted.key", git_dir=tmp_path).exit_code == 1
    assert "GIT_INDEX_FILE" not in host.git.environment(tmp_path)


def test_the_deadline_ends_git_and_its_helpers(
    make_host: Callable[..., Host], tmp_path: Path, hanging_ssh: tuple[str, Path]
) -> None:
    path, pipe = hanging_ssh
    host = make_host(PATH=path, ORCHESTRATOR_GIT_TIMEOUT="1s")
    with pytest.raises(GitTimedOut, match=r"ls-remote did not finish within 1 s"):
        host.git.run("ls-remote", "--", "ssh://example.invalid/x", git_dir=tmp_path)
    helper = int(Path(f"{pipe}.pid").read_text())
    deadline = time.monotonic() + 10
    while _runs(helper) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _runs(helper)


def test_a_git_that_is_killed_is_retried(host: Host, tmp_path: Path) -> None:
    kills_git = ("-c", "alias.die=!kill -9 $PPID", "die")
    with pytest.raises(GitKilled, match="ended by signal 9") as killed:
        host.git.run(*kills_git, git_dir=tmp_path)
    assert killed.value.retryable


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unable to access 'https://me:pa@ss@host/x': no", "unable to access 'https://host/x': no"),
        ("https://token@host/a@b and ssh://git@h/x", "https://host/a@b and ssh://h/x"),
        ("\x1b[31mred\x00\nnext", "[31mred next"),
    ],
)
def test_shown_text_has_no_credentials_and_no_controls(text: str, shown: str) -> None:
    assert showable(text) == shown


def test_shown_text_has_its_beginning_and_its_end() -> None:
    """A hook of the remote that printed its progress first hid the reason of the refusal."""
    progress = "\n".join(f"remote: checked {number}" for number in range(500))
    refusal = "! [remote rejected] (pre-receive hook declined)"
    shown = showable(f"{refusal}\n{progress}\nremote: no tests")
    assert shown.startswith(f"{refusal} remote: checked 0 ")
    assert shown.endswith(" remote: no tests")
    assert len(shown) == 1000


@pytest.mark.parametrize(
    "said",
    [
        "error: cannot fork() for git-upload-pack '/x': Resource temporarily unavailable",
        "git-upload-pack '/x': 1: Cannot fork\nfatal: Could not read from remote repository.",
        "fatal: unable to create thread: Resource temporarily unavailable",
    ],
)
def test_a_host_without_processes_is_no_fault_of_the_repository(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """The agent failed for good with `repository_unavailable`."""
    ended = Ended(128, b"", f"warning: first\n{said}\n")
    monkeypatch.setattr("orchestrator.workspace.git.run_program", lambda *_, **__: ended)
    with pytest.raises(HostExhausted, match="git ls-remote: "):
        host.git.attempt("ls-remote", "/x", git_dir=tmp_path)
    of_remote = Ended(128, b"", f"remote: {said.splitlines()[0]}\nfatal: no.\n")
    monkeypatch.setattr("orchestrator.workspace.git.run_program", lambda *_, **__: of_remote)
    assert host.git.attempt("ls-remote", "/x", git_dir=tmp_path).exit_code == 128
