"""Validates names and addresses from outside: refuses what git, a shell or a path could misread."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from orchestrator.git_names import check_author, check_branch, check_branch_prefix

#: An agent's id is part of folders, keys and a branch; a raw broker message can carry any text.
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
#: Its path may be absolute; a scheme with one slash is a mistake.
_SCP_LIKE = re.compile(
    r"(?!(?:https?|ssh|git|file|ftp):)(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*:(?!//|:)[^\s]+"
)
_REMOTE = re.compile(
    r"https://[A-Za-z0-9_\[][^\s]*"
    r"|ssh://[A-Za-z0-9_\[][^\s]*"
    # Only to this machine, because this transport is not encrypted.
    r"|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/[^\s]*"
)
#: `host/path` or `scheme://host/path` of a public host, from which an https address can be made.
_WITHOUT_SCHEME = re.compile(
    r"(?:(?:git|http)://|//)?(?P<address>[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+/[^\s:]+)"
)
_WITH_LOGIN = re.compile(r"https?://[^/\s]*@")


def meant_address(repository: str) -> str:
    """Return the https address that a text without a scheme, or with a wrong one, may mean."""
    found = _WITHOUT_SCHEME.fullmatch(repository)
    return f"https://{found['address']}" if found else ""


def repository_name(repository: str) -> str:
    """Return the last part of a repository's address, without `.git`."""
    return repository.rstrip("/").removesuffix(".git").rpartition("/")[2]


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
    if meant := meant_address(repository):
        msg = f"has no https:// or ssh:// scheme. Did you mean {meant}?"
        raise ValueError(msg)
    msg = "must be an https:// or ssh:// address, user@host:path, or an absolute local path"
    raise ValueError(msg)


#: Controls, line separators, and signs that are invisible or turn the text: the same class of
#: characters in the regular expressions of Python and of JSON Schema.
_NOT_SHOWN = (
    "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f"
    "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
)
# JSON can carry half of a surrogate pair; a schema cannot name it.
_SHOWN = re.compile(f"[^{_NOT_SHOWN}\\ud800-\\udfff]*")
#: A name has a sign that is no white space, and none that is not shown but white space around it.
IDENTIFIER_PATTERN = f"^\\s*[^\\s{_NOT_SHOWN}]([^{_NOT_SHOWN}]*[^\\s{_NOT_SHOWN}])?\\s*$"


def _check_identifier(name: str) -> str:
    if not _SHOWN.fullmatch(name):
        msg = "must consist of printable characters"
        raise ValueError(msg)
    return name


#: White space as Python sees it: other engines count these controls as none.
_SPACE = r"\s\x1c-\x1f\x85"
_LOOPBACK = rf"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/[^{_SPACE}]*"
#: What the checks above accept, for a schema; nothing of it is decided here.
_BRANCH_PATTERN = (
    r"^(refs/heads/)?(?!refs/heads/)(?!HEAD$)(?![-./])"
    r"(?!.*(\.\.|//|@\{|\.lock(/|$)|/\.|[./]$))"
    r"([!-)+-9;->@-Z\]_-}]{1,200}|[^\x00-\x20\x7f~^:?*\[\\]{1,60})$"
)
_REPOSITORY_PATTERN = (
    rf"^(?!https?://[^/{_SPACE}]*@)"
    r"((file://)?/[^\n\u0000]*"
    rf"|https://[A-Za-z0-9_\[][^{_SPACE}]*|ssh://[A-Za-z0-9_\[][^{_SPACE}]*"
    rf"|{_LOOPBACK}"
    r"|(?!.*(::|://))([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9_.-]*"
    rf":[^/:{_SPACE}][^{_SPACE}]*)$"
)
Branch = Annotated[
    str,
    AfterValidator(check_branch),
    WithJsonSchema({"type": "string", "pattern": _BRANCH_PATTERN}),
]
BranchPrefix = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(check_branch_prefix)
]
#: The name and the address of who a commit is from.
Author = Annotated[str, StringConstraints(max_length=300), AfterValidator(check_author)]
Repository = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000),
    AfterValidator(_check_repository),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 2000, "pattern": _REPOSITORY_PATTERN}
    ),
]
Identifier = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_check_identifier),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": IDENTIFIER_PATTERN}
    ),
]
