"""A text that is made to take long takes time and memory by its size."""

from __future__ import annotations

import time

import pytest

from orchestrator.secretscan.encodings import encoded
from orchestrator.secretscan.engine import find
from orchestrator.secretscan.literals import joints
from orchestrator.secretscan.views import View

HOSTILE = {
    "quotes": b'"' * 400_000,
    "joints": b'"a" "b" ' * 60_000,
    "joints-lines": b'"a"\n"b"\n' * 60_000,
    "spaces": b'"' + b" " * 400_000 + b'"',
    "comments": b'"a" # b\n' * 60_000,
    "joins": b'.join(["a", "b" ' * 30_000,
    "join-lists": b'["a", "b"].join("")' * 25_000,
    "opening": b"[[[[[[[[[[].join('')" * 20_000,
    "templates": b"${'a'}" * 80_000,
    "base64": b"QUJD" * 100_000,
    "base64-lines": b"QUJDQUJDQUJDQUJD\n" * 25_000,
    "base64-of-base64": b"UVVKRA==" * 50_000,
    "hex": b"41" * 200_000,
    "hex-lines": b"4142434445464748\n" * 25_000,
    "hex-list": b"0x41, " * 80_000,
    "decimal-list": b"[" + b"65, " * 100_000 + b"]",
    "brackets": b"[65, " * 80_000,
    "chr": b"chr(65)+" * 50_000,
    "escapes": b"\\x41" * 100_000,
    "escape-lines": b"\\x41\n" * 80_000,
    "percent": b"%41" * 130_000,
    "entities": b"&#65;" * 80_000,
    "backslashes": b"\\" * 400_000,
    "armour": b"-----BEGIN PGP SIGNATURE-----\n" * 13_000,
    "armour-ends": b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n" * 6_000,
    "armour-headers": b"-----BEGIN PGP MESSAGE-----\n" + b"Comment: a\n" * 36_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_text_made_to_take_long_takes_time_by_its_size(kind):
    """Eight times the text takes about eight times as long, far from the square of it, 64."""
    content = HOSTILE[kind]

    def spent_s(text: bytes) -> float:
        start = time.process_time()
        find(text)
        return time.process_time() - start

    of_part = min(spent_s(content[: len(content) // 8]) for _ in range(3))
    assert any(spent_s(content) < 24 * of_part + 0.1 for _ in range(3))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_reading_is_not_longer_than_its_text(kind):
    text = HOSTILE[kind]
    for edits in (joints(text), encoded(text)):
        assert len(View(text, edits).text) <= len(text) + 2 * len(edits)
