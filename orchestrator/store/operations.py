"""Operations on Valkey as values: what to send and how to read the reply, without sending it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from orchestrator.errors import RecordMalformed
from orchestrator.log import get_logger
from orchestrator.models import Record, faults_of

T = TypeVar("T")
R = TypeVar("R", bound=Record)
Argument = str | bytes | int | float
#: What stands before every script.
_SHARED_PARTS = ("_prelude", "_budget")
#: Scripts that Valkey runs at its `maxmemory` too: they stop agents, free memory, or keep the
#: agents alive that run; none of them lets new work in.
_OUT_OF_MEMORY = frozenset(
    {
        *("add_to_receipt", "append_audit", "drop_session", "essential", "heartbeat", "kill"),
        *("recount", "refuse", "release", "revoke_key", "transition", "unlock"),
    }
)
_ALLOW_OUT_OF_MEMORY = "#!lua flags=allow-oom\n"

log = get_logger("store")

#: Several operations, each built from the replies before it; `return` gives the result.
Flow = Generator["Operation[Any]", Any, T]


@dataclass(frozen=True)
class LuaScript:
    """One Lua script: its text and the digest Valkey knows it by."""

    text: str
    sha: str


@cache
def script(name: str) -> LuaScript:
    """Load `lua/<name>.lua`, behind what all scripts share."""
    folder = files("orchestrator.store") / "lua"
    text = "".join((folder / f"{part}.lua").read_text("utf-8") for part in (*_SHARED_PARTS, name))
    if name in _OUT_OF_MEMORY:
        text = _ALLOW_OUT_OF_MEMORY + text
    return LuaScript(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True)
class Operation(Generic[T]):
    """One round trip: a command, or a script with its keys and arguments."""

    arguments: tuple[Argument, ...]
    decode: Callable[[Any], T]
    script: LuaScript | None = None

    def command(self, *, by_text: bool = False) -> tuple[Argument, ...]:
        """Return what to send; a script goes by digest unless Valkey does not know it yet."""
        if self.script is None:
            return self.arguments
        if by_text:
            return ("EVAL", self.script.text, *self.arguments)
        return ("EVALSHA", self.script.sha, *self.arguments)


def command(*arguments: Argument, decode: Callable[[Any], T]) -> Operation[T]:
    """Make an operation of a plain command."""
    return Operation(arguments, decode)


def essential(
    name: str, key: str, *arguments: Argument, decode: Callable[[Any], T]
) -> Operation[T]:
    """Make an operation of a command of one key that has to work out of memory too."""
    return call("essential", (key,), (name, *arguments), decode)


def call(
    name: str, keys: tuple[str, ...], arguments: tuple[Argument, ...], decode: Callable[[Any], T]
) -> Operation[T]:
    """Make an operation of a script call."""
    return Operation((len(keys), *keys, *arguments), decode, script(name))


def text(reply: bytes) -> str:
    """Decode a bulk reply."""
    return reply.decode()


def nothing(_reply: Any) -> None:
    """Ignore a reply that carries no information."""


def parse_record(model: type[R], key: str, document: bytes) -> R:
    """Parse a stored record.

    Raises:
        RecordMalformed: it is not what `model` writes; names the key.
    """
    try:
        return model.model_validate_json(document)
    except ValidationError as error:
        path, message = faults_of(error)[0]
        msg = f"{key}: not a valid {model.__name__} ({path}: {message})."
        raise RecordMalformed(msg) from error


def read_record(model: type[R], key: str) -> Operation[R | None]:
    """Read one record; None where there is none."""
    return command("GET", key, decode=lambda reply: reply and parse_record(model, key, reply))


def read_records(model: type[R], keys: tuple[str, ...]) -> Operation[tuple[R | None, ...]]:
    """Read several records in one round trip; None too for one that is malformed, which is logged.

    So that it keeps nobody from the others.
    """

    def decode(replies: list[bytes | None]) -> tuple[R | None, ...]:
        return tuple(
            None if reply is None else _parsed(model, key, reply)
            for key, reply in zip(keys, replies, strict=True)
        )

    return command("MGET", *keys, decode=decode)


def _parsed(model: type[R], key: str, document: bytes) -> R | None:
    try:
        return parse_record(model, key, document)
    except RecordMalformed as error:
        log.warning("record not read", reason=str(error))
        return None
