"""The types of the values in a repository's configuration."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from orchestrator.settings.images import parse_image

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        msg = "must be a positive duration such as 90s, 5m or 2h"
        raise ValueError(msg)
    return float(match[1]) * _UNIT_S[match[2]]


def _printable(text: str) -> str:
    if "\0" in text:
        msg = "must not contain a null character"
        raise ValueError(msg)
    return text


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/") or "\0" in path:
        msg = "must be a path inside the repository"
        raise ValueError(msg)
    return str(PurePosixPath(path))


def _pattern(pattern: str) -> str:
    if "\n" in pattern or "\0" in pattern or ".." in PurePosixPath(pattern).parts:
        msg = "must be one pattern as in .gitignore, inside the repository"
        raise ValueError(msg)
    if pattern.startswith(("!", "#")):
        msg = "must not begin with ! or #: what is ignored and what is included are two lists"
        raise ValueError(msg)
    return pattern


def _image(name: str) -> str:
    parse_image(name)
    return name


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Command = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_printable),
]
#: One command, or several commands; an empty list means no command.
Commands = Annotated[
    tuple[Command, ...],
    BeforeValidator(_as_list, json_schema_input_type=Command | list[Command]),
]
RepoPath = Annotated[str, AfterValidator(_inside)]
Pattern = Annotated[str, StringConstraints(min_length=1), AfterValidator(_pattern)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Seconds = Annotated[
    float, Field(gt=0), BeforeValidator(_seconds, json_schema_input_type=str | float)
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*][A-Za-z0-9.-]*(:[0-9]{1,5})?$")]
Image = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$"),
    AfterValidator(_image),
]
