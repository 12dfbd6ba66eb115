"""The record of a secret finding; it never contains the secret."""

from __future__ import annotations

from orchestrator.models.record import Record


class SecretFinding(Record):
    """The location of a secret, and the rule that found it.

    `fingerprint` is keyed, and equal for each occurrence of this secret. `commit` is absent if
    no commit contains the text yet, such as staged work.
    """

    rule: str
    commit: str | None = None
    file: str
    line: int
    fingerprint: str
