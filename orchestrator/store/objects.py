"""Large values as objects in Valkey, named by their content, written and read in small pieces.

A record is a small value that names an object by its digest. No call carries more than one piece,
so that other clients are served between two of them. The record is written last: an interrupted
write leaves pieces without a name, which lapse. Equal content is one object, however many records
name it, and is written once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import Field, ValidationError

from orchestrator.errors import ObjectDamaged, StoreRefused
from orchestrator.models import Record
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, call, command, parse_record

#: The most bytes of a value in one call. With `appendfsync always`, Valkey writes the pieces of all
#: clients and then syncs: twelve of 256 KiB delay others three times as long as twelve of 64 KiB
#: (`python -m tests.bench.large_changes`), and are not faster. A change of this number needs
#: another key for objects, since pieces of both sizes would mix.
PIECE_BYTES = 2**16
#: Pieces that no record names lapse after this. It is longer than the pauses of a slow write.
UNNAMED_S = 3600.0
#: A record is shorter than this, and no larger part of any value is read to find one.
_RECORD_BYTES = 256
#: A record that others change meanwhile is tried again so often.
_TRIES = 20
_NONE = "-"


class ObjectRef(Record):
    """The content of a record: which object it names."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)

    @property
    def pieces(self) -> int:
        """The number of its pieces."""
        return -(-self.size // PIECE_BYTES)

    @property
    def keys(self) -> dict[str, str]:
        """Its keys, by their names in the scripts."""
        return {
            "object": keys.stored_object(self.digest),
            "names": keys.object_names(self.digest),
        }


def put(record: str, content: bytes, *, for_s: float | None = None) -> Flow[ObjectRef]:
    """Store content under this record, for a time or until it is removed.

    Pieces that Valkey has are not sent. A former object of the record loses this name.

    Raises:
        StoreRefused: other writers or removals interfered each time.
    """
    digest = hashlib.sha256(content).hexdigest()
    ref = ObjectRef(digest=digest, size=len(content))
    view = memoryview(content)
    for _ in range(_TRIES):
        absent: Sequence[int] = yield _hold(ref)
        for number in absent:
            at = number * PIECE_BYTES
            yield _put_piece(ref, number, bytes(view[at : at + PIECE_BYTES]))
        if (yield from _name(record, ref, for_s)):
            return ref
    raise _interfered(record)


def read(record: str) -> Flow[bytes | None]:
    """Read the content that a record names; None where there is no such record.

    A record of an older version, which is the content itself, is read in pieces too.

    Raises:
        ObjectDamaged: a piece is missing, or the content does not match the digest.
        RecordMalformed: the record names no object.
    """
    head: bytes = b""
    for _ in range(_TRIES):
        before, head = head, (yield _head(record))
        if not head:
            return None
        if (ref := _ref_of(record, head)) is None:
            return (yield from _read_value(record))
        content: bytes | None = yield from _read_object(ref)
        if content is not None:
            return content
        if head == before:
            break
        # The record may have been replaced while its former object was read.
    msg = f"The object of {record} lacks a piece, or does not match its digest."
    raise ObjectDamaged(msg)


def find(record: str) -> Flow[ObjectRef | None]:
    """Return which object a record names; None if there is none, or its value is of an old version.

    Raises:
        RecordMalformed: the record names no object.
    """
    head: bytes = yield _head(record)
    return _ref_of(record, head) if head else None


def piece(ref: ObjectRef, number: int) -> Operation[bytes | None]:
    """Read one piece of an object, for a reader that holds no more of it; None if it is absent."""
    return command("HGET", keys.stored_object(ref.digest), number, decode=lambda reply: reply)


def copy(source: str, record: str, *, for_s: float | None = None) -> Flow[bool]:
    """Let another record name the same object, without sending it; False without a source.

    Raises:
        ObjectDamaged: a piece of the object is missing.
        StoreRefused: other writers or removals interfered each time.
    """
    for _ in range(_TRIES):
        head: bytes = yield _head(source)
        if not head:
            return False
        if (ref := _ref_of(source, head)) is None:
            content: bytes = yield from _read_value(source)
            yield from put(record, content, for_s=for_s)
            return True
        if (yield from _name(record, ref, for_s)):
            return True
        if head == (yield _head(source)):
            msg = f"The object of {source} lacks a piece."
            raise ObjectDamaged(msg)
    raise _interfered(record)


def renew(record: str, *, for_s: float) -> Flow[bool]:
    """Let a record and its object lapse only later; False where there is no such record.

    Raises:
        StoreRefused: other writers interfered each time.
    """
    for _ in range(_TRIES):
        head: bytes = yield _head(record)
        if not head:
            return False
        if (ref := _ref_of(record, head)) is None:
            return bool((yield command("EXPIRE", record, round(for_s), decode=int)))
        if (yield _change(record, head, ref, for_s=for_s)) > 0:
            return True
    raise _interfered(record)


def remove(record: str) -> Flow[bool]:
    """Remove a record, and its object unless another record names it; False if there is none.

    Raises:
        StoreRefused: other writers interfered each time.
    """
    for _ in range(_TRIES):
        head: bytes = yield _head(record)
        if not head:
            return False
        if (yield _change(record, head, None)) > 0:
            return True
    raise _interfered(record)


def exists(*records: str) -> Operation[bool]:
    """Return whether any of these records exists."""
    return command("EXISTS", *records, decode=bool)


# ── operations ──────────────────────────────────────────────────────────────────────────────


def _hold(ref: ObjectRef) -> Operation[Sequence[int]]:
    arguments = (ref.size, PIECE_BYTES, round(UNNAMED_S * 1000))
    return call("hold_object", ref.keys, arguments, lambda reply: tuple(map(int, reply)))


def _put_piece(ref: ObjectRef, number: int, piece: bytes) -> Operation[int]:
    return call("put_piece", ref.keys, (number, round(UNNAMED_S * 1000), piece), int)


def _head(record: str) -> Operation[bytes]:
    return command("GETRANGE", record, 0, _RECORD_BYTES - 1, decode=lambda reply: reply)


def _change(
    record: str, head: bytes, ref: ObjectRef | None, *, for_s: float | None = None
) -> Operation[int]:
    """Write or remove a record that begins with `head` now; the decoded reply is the script's."""
    document = ref.model_dump_json(by_alias=True) if ref else _NONE
    before = _ref_of(record, head, is_strict=False)
    objects = [ref.keys] if ref else []
    if before is not None and before != ref:
        objects.append(before.keys)
    lifetime = 0 if for_s is None else max(round(for_s * 1000), 1)
    arguments = (document, ref.pieces if ref else 0, lifetime, head, _RECORD_BYTES)
    return call("name_object", {"record": record, "objects": objects}, arguments, int)


def _name(record: str, ref: ObjectRef, for_s: float | None) -> Flow[bool]:
    """Write a record; False if pieces of the object are absent."""
    for _ in range(_TRIES):
        head: bytes = yield _head(record)
        answer: int = yield _change(record, head, ref, for_s=for_s)
        if answer >= 0:
            return bool(answer)
    raise _interfered(record)


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def _ref_of(record: str, head: bytes, *, is_strict: bool = True) -> ObjectRef | None:
    """Return what a record names; None for a value of an older version."""
    if not head.startswith(b"{"):
        return None
    if is_strict:
        return parse_record(ObjectRef, record, head)
    try:
        return ObjectRef.model_validate_json(head)
    except ValidationError:
        return None


def _read_object(ref: ObjectRef) -> Flow[bytes | None]:
    """Read an object; None if a piece is absent or the digest differs."""
    digest, content = hashlib.sha256(), bytearray()
    for number in range(ref.pieces):
        part: bytes | None = yield piece(ref, number)
        if part is None:
            return None
        digest.update(part)
        content += part
    return bytes(content) if digest.hexdigest() == ref.digest else None


def _read_value(record: str) -> Flow[bytes]:
    content = bytearray()
    while True:
        at = len(content)
        piece: bytes = yield command(
            "GETRANGE", record, at, at + PIECE_BYTES - 1, decode=lambda reply: reply
        )
        content += piece
        if len(piece) < PIECE_BYTES:
            return bytes(content)


def _interfered(record: str) -> StoreRefused:
    msg = f"{record} was changed by others {_TRIES} times while it was written."
    return StoreRefused(msg)
