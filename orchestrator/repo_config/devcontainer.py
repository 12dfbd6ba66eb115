"""Reads what a development container says about an environment, to propose it to a person."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pydantic import TypeAdapter, ValidationError

from orchestrator.repo_config.tables import EnvironmentConfig
from orchestrator.repo_config.values import Image, Variable

_LOCATIONS = (".devcontainer/devcontainer.json", ".devcontainer.json")
#: The commands that prepare a container once, in their order.
_SETUP = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
#: Keys that say how a container is made or run, and that have no counterpart.
_NOT_SUPPORTED = {
    "build": "build the image, and name it in `image`",
    "dockerFile": "build the image, and name it in `image`",
    "dockerComposeFile": "services are not supported",
    "features": "build an image that has them",
    "mounts": "not supported",
    "runArgs": "not supported",
    "remoteEnv": "use `variables`",
    "initializeCommand": "no command runs on the host",
    "postStartCommand": "use the hook `before_run`",
}
_USERS = {
    "remoteUser": "programs run as the owner of the workspace",
    "containerUser": "programs run as the owner of the workspace",
}
#: What a tool for development containers replaces before a shell sees it.
_REPLACED = re.compile(
    r"\$\{(?:(?:localEnv|containerEnv):|localWorkspaceFolder|containerWorkspaceFolder"
    r"|devcontainerId)"
)
#: The sandbox sets these.
_OURS = frozenset({"PATH", "HOME", "TMPDIR", "PWD"})
_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENTS = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)


@dataclass(frozen=True)
class Devcontainer:
    """The part of a development container that this system can propose."""

    path: str
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    #: A line for each key that is not taken over, with the reason.
    notes: tuple[str, ...] = ()


def read_devcontainer(
    read: Callable[[str], bytes | None], paths: Collection[str]
) -> Devcontainer | None:
    """Return what the first `devcontainer.json` of a commit says; None if there is none.

    A file that is malformed gives notes only, because nothing depends on it.
    """
    found = sorted((path for path in paths if _is_location(path)), key=_order)
    if not found:
        return None
    path, *others = found
    notes = [f"{other} is not read, because {path} comes first" for other in others]
    try:
        document = _parse((read(path) or b"").decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return Devcontainer(path, notes=(*notes, f"{path} is not read: {error}"))
    image, why = _image(document)
    setup, unused = _commands(document)
    variables, left = _variables(document.get("containerEnv"))
    notes += [*why, *_not_taken(document), *unused, *left]
    given: dict[str, Any] = {"image": image, "setup": list(setup), "variables": variables}
    given = {key: value for key, value in given.items() if value}
    return Devcontainer(path, EnvironmentConfig(**given), tuple(notes))


def _is_location(path: str) -> bool:
    parts = path.split("/")
    is_nested = len(parts) == len((".devcontainer", "name", "devcontainer.json"))
    return path in _LOCATIONS or (
        is_nested and parts[0] == ".devcontainer" and parts[2] == "devcontainer.json"
    )


def _order(path: str) -> tuple[int, str]:
    return (_LOCATIONS.index(path) if path in _LOCATIONS else len(_LOCATIONS), path)


def _parse(text: str) -> Mapping[str, Any]:
    """Parse JSON with comments and commas before a closing bracket.

    Raises:
        ValueError: it is not such a document.
    """
    plain = _COMMENTS.sub(lambda match: match[1] or " ", text)
    document: object = json.loads(_TRAILING.sub(lambda match: match[1] or "", plain))
    if not isinstance(document, dict):
        msg = "it must be one object"
        raise ValueError(msg)  # noqa: TRY004 - as for every other fault of the document
    return document


def _image(document: Mapping[str, Any]) -> tuple[str, list[str]]:
    image = document.get("image")
    if image is None:
        return "", []
    try:
        return TypeAdapter(Image).validate_python(image), []
    except ValidationError:
        return "", [f"image is not taken over: {_shown(image)} is not the name of an image"]


def _not_taken(document: Mapping[str, Any]) -> Iterator[str]:
    for key, instead in _NOT_SUPPORTED.items():
        if document.get(key):
            value = document[key]
            named = f" ({', '.join(value)})" if key == "features" and _is_table(value) else ""
            yield f"{key}{named} is not supported: {instead}"
    for key, why in _USERS.items():
        if document.get(key):
            yield f"{key} {_shown(document[key])} is ignored: {why}"


def _commands(document: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """Return the commands of the set-up, and a line for each that is not taken over."""
    commands: list[str] = []
    notes: list[str] = []
    for key in _SETUP:
        value = document.get(key)
        # The commands of an object have names, and no order.
        named = list(value.items()) if _is_table(value) else [("", value)]
        for name, one in named:
            if not one:
                continue
            where = f"{key}.{name}" if name else key
            if isinstance(one, str):
                command = one.strip()
            elif isinstance(one, list) and all(isinstance(word, str) for word in one):
                command = shlex.join(one)
            else:
                notes.append(f"{where} is not taken over: it is no command")
                continue
            if _REPLACED.search(command) or "\0" in command:
                notes.append(f"{where} is not taken over: {command} contains a variable")
            elif command:
                commands.append(command)
    return tuple(commands), notes


def _variables(given: object) -> tuple[dict[str, str], list[str]]:
    variables: dict[str, str] = {}
    notes: list[str] = []
    name_of = TypeAdapter(Variable)
    for name, value in given.items() if _is_table(given) else ():
        try:
            name_of.validate_python(name)
        except ValidationError:
            notes.append(f"containerEnv {_shown(name)} is not taken over: it is no variable's name")
            continue
        if name in _OURS:
            notes.append(f"containerEnv {name} is not taken over: the sandbox sets it")
        elif not isinstance(value, str) or _REPLACED.search(value) or "\0" in value:
            notes.append(f"containerEnv {name} is not taken over: {_shown(value)} is not a text")
        else:
            variables[name] = value
    return variables, notes


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:100]
