"""Validates names and addresses from outside: refuses what git, a shell or a path could misread."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from orchestrator.git_names import check_author, check_branch, check_branch_prefix

#: An agent's id is part of folders, keys and a branch; a raw broker message can carry any text.
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SCP_LIKE = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*:(?!/|:)[^\s]+")
_REMOTE = re.compile(
    r"https://[A-Za-z0-9_\[][^\s]*"
    r"|ssh://[A-Za-z0-9_\[][^\s]*"
    # Only to this machine, because this transport is not encrypted.
    r"|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/[^\s]*"
)
_WITH_LOGIN = re.compile(r"https?://[^/\s]*@")


def _check_repository(repository: str) -> str:
    if _WITH_LOGIN.match(repository):
        # A password would be visible in argv, state and logs.
        msg = "must carry no login: set GIT_TOKEN and GIT_TOKEN_HOSTS, or GIT_TOKEN_COMMAND"
        raise ValueError(msg)
    path = repository.removeprefix("file://")
    local = path.startswith("/") and "\n" not in path and "\0" not in path
    if local or _REMOTE.fullmatch(repository):
        return path if local else repository
    if "::" not in repository and "://" not in repository and _SCP_LIKE.fullmatch(repository):
        return repository
    msg = "must be an https:// or ssh:// address, user@host:path, or an absolute local path"
    raise ValueError(msg)


def _check_identifier(name: str) -> str:
    if not name.isprintable():
        msg = "must consist of printable characters"
        raise ValueError(msg)
    return name


BranchPrefix = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(check_branch_prefix)
]
#: The name and the address of who a commit is from.
Author = Annotated[str, StringConstraints(max_length=300), AfterValidator(check_author)]
Branch = Annotated[str, AfterValidator(check_branch)]
Repository = Annotated[
    str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_check_repository)
]
Identifier = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_check_identifier),
]
