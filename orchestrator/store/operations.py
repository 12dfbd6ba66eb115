"""Operations on Valkey as values: what to send and how to read the reply, without sending it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from orchestrator.errors import RecordMalformed
from orchestrator.log import get_logger
from orchestrator.models import Record, faults_of
from orchestrator.models.text import storable
from orchestrator.store.scripts import KeyNames, LuaScript, script

T = TypeVar("T")
R = TypeVar("R", bound=Record)
Argument = str | bytes | int | float

log = get_logger("store")

#: Several operations, each built from the replies before it; `return` gives the result.
Flow = Generator["Operation[Any]", Any, T]


@dataclass(frozen=True)
class Operation(Generic[T]):
    """One round trip: a command, or a script with its keys and arguments."""

    arguments: tuple[Argument, ...]
    decode: Callable[[Any], T]
    script: LuaScript | None = None
    #: The server itself may hold the answer back for this long.
    blocks_s: float = 0.0
    #: A read of one reply for all who ask before it is sent.
    is_shared: bool = False
    #: An event loop may send it in one batch with others: it is frequent, and its reply is small.
    is_batched: bool = False

    def command(self, *, by_text: bool = False) -> tuple[Argument, ...]:
        """Return what to send; a script goes by digest unless Valkey does not know it yet."""
        if self.script is None:
            return self.arguments
        if by_text:
            return ("EVAL", self.script.text, *self.arguments)
        return ("EVALSHA", self.script.sha, *self.arguments)


def command(
    *arguments: Argument,
    decode: Callable[[Any], T],
    blocks_s: float = 0.0,
    is_shared: bool = False,
    is_batched: bool = False,
) -> Operation[T]:
    """Make an operation of a plain command."""
    return Operation(
        arguments, decode, blocks_s=blocks_s, is_shared=is_shared, is_batched=is_batched
    )


def essential(
    name: str, key: str, *arguments: Argument, decode: Callable[[Any], T]
) -> Operation[T]:
    """Make an operation of a command of one key that has to work out of memory too."""
    return call("essential", {"key": key}, (name, *arguments), decode)


def call(
    name: str,
    named: KeyNames,
    arguments: tuple[Argument, ...],
    decode: Callable[[Any], T],
    *,
    is_batched: bool = False,
) -> Operation[T]:
    """Make an operation of a script call; its keys are given by the names its header declares."""
    lua = script(name)
    keys = lua.layout.arrange(named)
    return Operation((len(keys), *keys, *arguments), decode, lua, is_batched=is_batched)


def to_json(document: Any) -> str:
    """Return a document for a script; half of a surrogate pair, which Lua cannot read, is `?`."""
    return storable(json.dumps(document, ensure_ascii=False))


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
