"""Which matches are secrets, by the kind of their rule: a value on each side of every rule."""

from __future__ import annotations

import base64

import pytest

from orchestrator.secretscan.false_positives import is_secret

RANDOM = "q7Zr2mXv9KpLw4Tn"
LONG = f"{RANDOM}B8sYc3Hd"
#: As long as a line of base64 in a block.
LINE = f"{LONG}{LONG}{RANDOM}".ljust(64, "7")
HEX = "9f86d081884c7d659a2feaa0c55ad015"
UUID = "c1d09a99-f21f-5127-ca11-81b505ba54bc"
LISTED = "'a', '"


def packed(text: str) -> str:
    return base64.b64encode(text.encode("latin-1")).decode()


@pytest.mark.parametrize(
    ("kind", "before", "value", "expected"),
    [
        # Whatever its kind, a placeholder is none.
        ("certain", "", RANDOM, True),
        ("certain", "", "x" * 12, False),
        ("certain", "", f"{RANDOM}EXAMPLE", False),
        ("certain", "", "${TOKEN}x9Kp2mXvq", True),
        ("password", "", "<x>by2", False),
        ("certain", "", "password12345", True),
        ("certain", "", "password1", False),
        ("certain", "", "5679!@__", True),
        # The name before it, and its own form.
        ("password", "", LONG, True),
        ("password", "key_id = '", LONG, False),
        ("random", "", f"1.24.3-{RANDOM}", False),
        ("random", "", f"1.24-{RANDOM}", True),
        ("password", "compass = '", "s3cr3t!pw", False),
        ("password", "", "s3cr3t!pw", True),
        ("password", LISTED, "injectPassword2", False),
        ("password", "let x = '", "ByOf1", True),
        ("password", LISTED, "by.get27", True),
        ("password", LISTED, "q9ZrmXvKpLwTn", True),
        # Passwords.
        ("password", "", "correcthorse", False),
        ("password", "", "correct!horse^battery", True),
        ("password", "", "12345678!", False),
        ("password", "", "postgres://a1", False),
        ("password", "", "vault:secret/a1", False),
        ("password", "", "0x1f2e3d4c", False),
        ("password", "", "q7Zr2mXv/9KpLw4TnB8sYc3", True),
        ("password", "", "a/b1/c2", False),
        ("bare", "", "hunter2!x", True),
        ("bare", "", "correct!horse^battery", False),
        ("bare", "", "12345678!", False),
        ("bare", "", "token.list2", False),
        ("bare", "", "user.by76", True),
        # Random values.
        ("random", "", RANDOM, True),
        ("random", "", "hunter2!x", False),
        ("random", "", RANDOM[:11], False),
        ("random", "", "getElementById12", False),
        ("random", "", "1234567890123", False),
        ("random", "", "79847!@_____", False),
        ("random", "", UUID, True),
        ("random", "", "9f86d081-884c7d65", True),
        ("random", "", HEX[:16], False),
        ("random", "", "3212aaa2aa2a21211113", False),
        # Tokens.
        ("token", "", RANDOM, True),
        ("token", "", RANDOM[:15], False),
        ("token", "", LINE, False),
        ("token", "a", LINE, True),
        ("token", "", UUID, False),
        ("token", "", "9f86d081884c7d65--9f86d081a84c7d659a2feaa0", False),
        ("token", "", f"0x{LONG}", False),
        ("token", "", "8391746205184739xyz", False),
        ("token", "", "x941a7940a867cce5", False),
        ("token", "", f"app_{HEX}", True),
        ("token", "", f"app_{HEX[:23]}", False),
        ("token", "", "app_cd1beb2aabd222aeedade1bb212b", False),
        ("token", "", "g2d0bdgxqc0h3cbh", False),
        ("token", "", packed("the words of a sentence 1"), False),
        ("token", "", packed('{"alg":"HS256"}q1Z'), False),
        ("token", "", packed(f"user:{LONG}"), True),
        ("token", "", packed("us\xffer:hunter2!x1"), True),
        ("token", "", "getElementByName12", False),
        # Credentials.
        ("authorization", "", HEX, True),
        ("authorization", "", "fqhgbhhjjdkx", False),
        ("authorization", "", packed("the words of a sentence 1"), True),
        ("authorization", "", packed("user:hunter2!x"), True),
        ("authorization", "", packed("user:password"), False),
        ("authorization", "", packed("by:example1!"), False),
        ("authorization", "", packed("user:12345678"), False),
        ("authorization", "", packed("us\x01er:correcthorse"), True),
        ("authorization", "", packed("us\xffer:correcthorse"), True),
    ],
)
def test_a_value_of_each_kind(kind, before, value, expected):
    assert is_secret(value.encode(), kind, before.encode()) is expected


def test_a_password_of_an_address_is_judged_without_its_escapes():
    assert not is_secret(b"c%6Frrect", "password", b"")
    assert is_secret(b"c%6Frrect!7", "password", b"")
