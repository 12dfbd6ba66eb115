"""Reads a repository's configuration from its base commit, and describes its faults."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from orchestrator.errors import HooksInvalid, PlanInvalid, RepoConfigInvalid
from orchestrator.repo_config.tables import CONFIG_FILES, SOURCES, RepoConfig, location_of
from orchestrator.repo_config.toml import read_toml

#: Reads a file of the base commit; None where there is none.
ReadFile = Callable[[str], bytes | None]

#: These tables and keys are valid and the schema describes them, but this version does not apply
#: them.
NOT_HONOURED: Mapping[str, tuple[str, ...]] = {
    "environment": ("services",),
    "agents": ("honour",),
}

_ERRORS: Mapping[str, type[RepoConfigInvalid]] = {"gates": PlanInvalid, "hooks": HooksInvalid}


def read_repo_config(read: ReadFile) -> RepoConfig:
    """Read the configuration of a base commit, through a function that returns its files.

    Raises:
        RepoConfigInvalid: it is malformed; the detail names file, table and key. It is a
            PlanInvalid for the table gates, and a HooksInvalid for the table hooks.
    """
    tables: dict[str, object] = {}
    files: dict[str, str] = {}
    warnings: list[str] = []
    for path, above in SOURCES:
        for name, value in _entries(path, read(path), above).items():
            if name in tables:
                kept, left = location_of(files[name], name), location_of(path, name)
                warnings.append(f"{left} has no effect, because {kept} says it too: keep one")
            else:
                tables[name], files[name] = value, path
    try:
        config = RepoConfig.model_validate(tables, context=(files, tuple(warnings)))
    except ValidationError as error:
        raise _invalid(error, files) from error
    for name, keys in NOT_HONOURED.items():
        given = tables.get(name)
        key = next((k for k in given if k in keys), None) if _is_table(given) else None
        if key is not None:
            place = f"{location_of(files[name], name)} {key}"
            msg = f"{place}: this version does not support the key {key} yet: remove it."
            raise RepoConfigInvalid(msg)
    return config


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)


def _entries(path: str, content: bytes | None, above: tuple[str, ...]) -> dict[str, Any]:
    if content is None:
        return {}
    try:
        entry: Any = read_toml(content.decode().removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}."
        raise PlanInvalid(msg) from error
    for depth, name in enumerate(above, start=1):
        entry = entry.get(name, {})
        if not isinstance(entry, dict):
            msg = f"{path}: {'.'.join(above[:depth])} must be a table."
            raise PlanInvalid(msg)
    return dict(entry)


def _invalid(error: ValidationError, files: Mapping[str, str]) -> RepoConfigInvalid:
    fault = error.errors(include_url=False)[0]
    loc = fault["loc"]
    table, *keys = (str(part) for part in loc)
    kind = _ERRORS.get(table, RepoConfigInvalid)
    path = files.get(table, CONFIG_FILES[-1])
    if not keys and fault["type"] == "model_type":
        return kind(f"{path}: {'.'.join((*dict(SOURCES)[path], table))} must be a table.")
    if len(keys) > 1 and loc[2] == 0:
        # One entry and a list of one entry mean the same.
        del keys[1]
    key = f" {keys[0]}" if keys else ""
    rest = f"{'.'.join(keys[1:])}: " if keys[1:] else ""
    message = _message(fault["type"], fault["msg"], loc, str(fault["input"]))
    return kind(f"{location_of(path, table)}{key}: {rest}{message}.")


#: Pydantic's messages for these kinds of faults name types of Python.
_WORDS = {
    "model_type": "must be a command, a table, or a list of them",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "missing": "must be given",
    "string_pattern_mismatch": "is not written as such a value is",
}


def _message(kind: str, message: str, loc: tuple[int | str, ...], given: str) -> str:
    if kind in ("enum", "literal_error"):
        known = tuple(re.findall(r"'([^']+)'", message))
        return f"must be one of {', '.join(known)}{_guess(given, known)}"
    if kind != "extra_forbidden":
        words = message.removeprefix("Value error, ").replace("Input should be", "must be")
        return _WORDS.get(kind, words)
    unknown, known = str(loc[-1]), tuple(_known(loc))
    what = "gate" if loc[0] == "gates" and len(loc) == len(("gates", "name")) else "key"
    return f"there is no {what} {unknown!r}{_guess(unknown, known)}; known: {', '.join(known)}"


def _guess(given: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _known(loc: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the keys of the table that contains the last part of a path."""
    at: type[BaseModel] = RepoConfig
    for part in loc[:-1]:
        if isinstance(part, int) or part not in at.model_fields:
            continue
        below = _models(at.model_fields[part].annotation)
        at = next(below, at)
    yield from at.model_fields


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)
