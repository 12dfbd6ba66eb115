"""Runs the git binary: clean environment, no prompts, a deadline, typed errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import (
    DiskFull,
    GitFailed,
    GitKilled,
    GitTimedOut,
    HostExhausted,
    RepositoryUnavailable,
    fault_of_host,
)
from orchestrator.settings import Settings
from orchestrator.workspace.credentials import Credentials
from orchestrator.workspace.disk import reports_unwritable_disk
from orchestrator.workspace.git_answers import Answers, is_of_objects
from orchestrator.workspace.host_program import Ended, run_program

#: The author and committer in agents' clones and of the one commit. The trailers name the agent.
IDENTITY_NAME = "Mosaic Agent"
IDENTITY_EMAIL = "agent@orchestrator.invalid"
IDENTITY = {
    "GIT_AUTHOR_NAME": IDENTITY_NAME,
    "GIT_AUTHOR_EMAIL": IDENTITY_EMAIL,
    "GIT_COMMITTER_NAME": IDENTITY_NAME,
    "GIT_COMMITTER_EMAIL": IDENTITY_EMAIL,
}

_ENVIRONMENT = {
    **IDENTITY,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    # This variable overrides protocol.*.allow, remote.*.vcs and insteadOf; `-c protocol.allow` does
    # not.
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "credential.helper": "",
    # Live clones borrow the mirror's objects, so they must never be collected.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "checkout.workers": "0",
    "transfer.fsckObjects": "true",
    # A larger file is streamed: unpacking one of 300 MB took 14 MiB of memory instead of 304.
    "core.bigFileThreshold": "16m",
    # Harmless faults of old tools, which the history of many well-known repositories contains.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.fsck.missingTaggerEntry": "ignore",
}
#: Plain HTTP is allowed to this machine only (names.py); elsewhere it would expose the token.
_PROTOCOLS_OF_HTTP = {"GIT_ALLOW_PROTOCOL": "http"}
#: git searches this file, not the environment, when it starts itself for a remote on disk.
_TRUSTED = {"GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("trusted.gitconfig"))}
#: What git says when it can start no helper or thread of its own; the remote's words do not count.
_EXHAUSTED = re.compile(
    r"^(?!remote:).*(cannot fork|unable to fork|unable to create thread|Too many open files"
    r"|Resource temporarily unavailable|Cannot allocate memory)",
    re.MULTILINE | re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/\s]*@")
_SHOWN_CHARACTERS = 1000


def config_environment(config: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that set this git configuration; they override the repository's own."""
    environment = {"GIT_CONFIG_COUNT": str(len(config))}
    for index, (key, value) in enumerate(config.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def showable(text: str) -> str:
    """Return text of git or a remote for one line of output, without credentials and controls."""
    without_userinfo = _USERINFO.sub("://", text)
    printable = "".join(sign if sign.isprintable() else " " for sign in without_userinfo)
    line = " ".join(printable.split())
    if len(line) <= _SHOWN_CHARACTERS:
        return line
    # What was refused is at the beginning, and a hook that prints much gives its reason at the end.
    return f"{line[: _SHOWN_CHARACTERS // 2]} … {line[3 - _SHOWN_CHARACTERS // 2 :]}"


def cause(text: str) -> str:
    """Return the last message of git on one line: `fatal:` follows the warnings."""
    lines = [line for line in map(showable, text.splitlines()) if line]
    last: list[str] = []
    room = _SHOWN_CHARACTERS
    for line in reversed(lines):
        if last and len(line) >= room:
            break
        last.append(line)
        room -= len(line) + 1
    return " ".join(reversed(last))


def _resolved(paths: Iterable[Path]) -> frozenset[Path]:
    return frozenset(path.resolve() for path in paths)


class Git:
    """Runs git in the orchestrator's repositories; each is named, so git searches none."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.git_timeout_s
        self._environment = {
            "PATH": os.defpath,
            **settings.host_env,
            **_ENVIRONMENT,
            **config_environment(_CONFIG),
        }
        self._credentials = Credentials(settings)
        self._allowed_in = _resolved(settings.local_repositories)
        self._forbidden_in = _resolved(settings.agents_dirs)
        self._answers = Answers()

    def environment(self, git_dir: Path) -> dict[str, str]:
        """Return the whole environment of git in this repository."""
        return {**self._environment, "GIT_DIR": str(git_dir)}

    def attempt(
        self,
        *arguments: str,
        git_dir: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        keep_fds: Sequence[int] = (),
        remote: str = "",
    ) -> Ended:
        """Run git and return how it ended, also on failure; it may contact `remote` only.

        Raises:
            GitTimedOut: it did not finish in time; git and its helpers have ended.
            GitKilled: a signal ended it, so its exit code answers nothing.
            HostExhausted: this host has no process, descriptor or memory left for it.
            RepositoryUnavailable: the address of the remote is not allowed.
            CredentialsUnavailable: the remote needs a token, and none is available.
            GitFailed: git cannot be started.
        """
        is_trusted = self._check_repository(remote)
        access = self._credentials.access(remote)
        try:
            ended = run_program(
                ("git", *arguments),
                env={
                    **self.environment(git_dir),
                    **(_TRUSTED if is_trusted else {}),
                    **(_PROTOCOLS_OF_HTTP if remote.startswith("http:") else {}),
                    **config_environment({**_CONFIG, **access.config}),
                    **(env or {}),
                },
                timeout_s=self._timeout_s,
                stdin=stdin,
                keep_fds=keep_fds,
            )
        except TimeoutError as error:
            msg = f"git {arguments[0]} did not finish within {self._timeout_s:g} s."
            raise GitTimedOut(msg) from error
        except OSError as error:
            msg = f"git cannot be started ({error.strerror})."
            if fault := fault_of_host(error):
                raise fault(msg) from error
            raise GitFailed(msg, action="Install git; `orch doctor` checks it.") from error
        if ended.exit_code < 0:
            msg = f"git {arguments[0]} was ended by signal {-ended.exit_code}."
            raise GitKilled(msg)
        if ended.exit_code and _EXHAUSTED.search(ended.stderr):
            msg = f"git {arguments[0]}: {cause(access.mask(ended.stderr))}"
            raise HostExhausted(msg)
        return replace(ended, stderr=access.mask(ended.stderr))

    def of_objects(
        self,
        *arguments: str,
        git_dir: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> bytes:
        """Run a command that reads nothing but objects, and return its output.

        Objects never change. So where they are named by their full ids, the output is remembered
        for this repository: an agent's gates and delivery ask for the same trees and differences.

        Raises:
            GitFailed: also the other errors of `run`; an error is not remembered.
        """
        question = (str(git_dir), arguments, tuple(sorted((env or {}).items())), stdin)
        answer = self._answers.find(question)
        if answer is None:
            answer = self.run(*arguments, git_dir=git_dir, env=env, stdin=stdin)
            if is_of_objects(arguments, stdin, answer):
                self._answers.remember(question, answer)
        return answer

    def _check_repository(self, remote: str) -> bool:
        """Refuse a repository of this host that an agent may have made: its hooks would run.

        Returns whether the operator names its folder, so that it may belong to another user.

        The orchestrator's configuration does not apply to the git that a push starts on the remote
        side.
        """
        path = remote.removeprefix("file://")
        if not path.startswith("/"):
            return False
        above = {*(place := Path(path).resolve()).parents, place}
        if above & self._forbidden_in or (self._allowed_in and not above & self._allowed_in):
            msg = f"{showable(path)} is no place for a repository."
            action = "Name one that ORCHESTRATOR_LOCAL_REPOSITORIES allows and no agent writes to."
            raise RepositoryUnavailable(msg, action=action)
        return bool(self._allowed_in)

    def run(
        self,
        *arguments: str,
        git_dir: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        keep_fds: Sequence[int] = (),
        remote: str = "",
    ) -> bytes:
        """Run git and return its output.

        Raises:
            GitTimedOut: it did not finish in time.
            GitKilled: a signal ended it.
            DiskFull: git could not write.
            CredentialsUnavailable: the remote needs a token, and none is available.
            GitFailed: any other failure, with the message of git.
        """
        ended = self.attempt(
            *arguments, git_dir=git_dir, env=env, stdin=stdin, keep_fds=keep_fds, remote=remote
        )
        return checked(ended, arguments[0])


def checked(ended: Ended, command: str) -> bytes:
    """Return the output of a git command that succeeded.

    Raises:
        DiskFull: git could not write.
        GitFailed: any other failure, with the message of git.
    """
    if ended.exit_code == 0:
        return ended.stdout
    words = cause(ended.stderr) or f"exit code {ended.exit_code}"
    error = DiskFull if reports_unwritable_disk(ended.stderr) else GitFailed
    msg = f"git {command}: {words}"
    raise error(msg)
