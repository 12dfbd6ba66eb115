"""The record of a found secret, which never holds the secret."""

from __future__ import annotations

from orchestrator.models.record import Record


class SecretFinding(Record):
    """Where a secret stands, and by which rule it was found.

    `fingerprint` is keyed, and the same wherever this secret stands. `commit` is absent where
    there is none yet: staged work, texts.
    """

    rule: str
    commit: str | None = None
    file: str
    line: int
    fingerprint: str
