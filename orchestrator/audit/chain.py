"""The chain of the audit: links, seals and parses its entries."""

from __future__ import annotations

import hmac
import json

from pydantic import ValidationError

from orchestrator.errors import AuditBroken
from orchestrator.models import (
    AuditEntry,
    AuditHead,
    AuditMark,
    faults_of,
)
from orchestrator.store.audit import STREAM, Link


def canonical(record: AuditEntry | AuditHead) -> bytes:
    """Return the bytes of a record that its MAC covers."""
    document = json.dumps(record.wire(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return document.encode()


def link_mac(key: bytes, before: bytes, document: bytes) -> bytes:
    """Return the MAC (hex) of the entry `document` that follows the MAC `before`."""
    return hmac.digest(key, before + document, "sha256").hex().encode()


def seal(key: bytes, seq: int, mac: str) -> str:
    """Return the seal (hex) of a head."""
    # No MAC input of an entry has this prefix: those begin with hex digits or a brace.
    return hmac.digest(key, f"head:{seq}:{mac}".encode(), "sha256").hex()


def sealed_head(key: bytes, seq: int, mac: bytes) -> bytes:
    """Return the head (JSON) of a chain that ends at this entry, with its seal."""
    text = mac.decode()
    return canonical(AuditHead(seq=seq, mac=text, seal=seal(key, seq, text)))


def open_head(key: bytes, document: bytes) -> AuditMark | None:
    """Return the position that a head states; None if this key did not seal it."""
    try:
        head = AuditHead.model_validate_json(document)
    except ValidationError:
        return None
    expected = seal(key, head.seq, head.mac)
    if not hmac.compare_digest(expected.encode(), head.seal.encode()):
        return None
    return AuditMark(seq=head.seq, mac=head.mac)


def parse_entry(link: Link) -> AuditEntry:
    """Parse a stored entry.

    Raises:
        AuditBroken: the stored document is not an entry.
    """
    try:
        return AuditEntry.model_validate_json(link.document)
    except ValidationError as error:
        path, message = faults_of(error)[0]
        msg = f"{STREAM}: {link.id} is no entry ({path}: {message})."
        raise AuditBroken(msg) from error


def sequence_of(link: Link) -> int | None:
    """Return the number that a stored entry states; None if it is not an entry."""
    try:
        return parse_entry(link).seq
    except AuditBroken:
        return None
