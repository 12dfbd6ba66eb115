"""Signatures and certificates are no secrets, and nothing can be hidden between their lines."""

from __future__ import annotations

import base64
import subprocess
import textwrap

import pytest

from orchestrator.secretscan.engine import find
from orchestrator.secretscan.public_blocks import PublicBlocks
from tests.doubles.secret_maker import Maker

SIGNATURE = b"\x89\x02\x33"


def armour(label: str, data: bytes, headers: str = "", checksum: str = "", width: int = 64) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), width))
    return f"-----BEGIN {label}-----\n{headers}{body}\n{checksum}-----END {label}-----"


def data(label: str, seed: int) -> bytes:
    """What a block of this label begins with, and random bytes."""
    maker = Maker(seed)
    rest = maker.random.randbytes(560)
    if label == "SSH SIGNATURE":
        return b"SSHSIG\0\0\0\x01" + rest
    tags = {"PGP SIGNATURE": 2, "PGP PUBLIC KEY BLOCK": 6, "PGP MESSAGE": 1}
    if label in tags:
        return bytes((0xC0 | tags[label],)) + rest
    return b"\x30\x82" + len(rest).to_bytes(2, "big") + rest


LABELS = ("PGP SIGNATURE", "PGP PUBLIC KEY BLOCK", "PGP MESSAGE", "SSH SIGNATURE",
          "SIGNED MESSAGE", "CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST")  # fmt: skip
SHAPES = {
    "file": lambda text: text,
    "gpgsig": lambda text: "tree 1\ngpgsig " + text.replace("\n", "\n ") + "\n\nMessage\n",
    "yaml": lambda text: "key: |\n" + textwrap.indent(text, "    "),
    "json": lambda text: '{"key": "' + text.replace("\n", "\\n") + '"}',
    "c-strings": lambda text: "\n".join(f'"{line}\\n"' for line in text.split("\n")),
    "js-concat": lambda text: " +\n".join(f"'{line}\\n'" for line in text.split("\n")),
    "comment": lambda text: "\n".join(f"# {line}" for line in text.split("\n")),
    "patch": lambda text: "\n".join(f"+{line}" for line in text.split("\n")),
    "crlf": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("label", LABELS)
def test_no_block_of_public_bytes_is_flagged_however_it_is_written(label, shape):
    for seed in range(20):
        is_pgp = label.startswith("PGP")
        checksum = f"={Maker(seed).value('b', 4)}\n" if is_pgp else ""
        text = armour(label, data(label, seed), "\n" if is_pgp else "", checksum)
        assert find(SHAPES[shape](text).encode()) == [], seed


@pytest.mark.parametrize(
    ("label", "begins", "is_public"),
    [
        ("CERTIFICATE", b"\x30\x05", True),
        ("CERTIFICATE", b"\x31\x05", False),
        ("CERTIFICATE", b"\x30\x06", False),
        ("PGP SIGNATURE", b"\x88\x05", True),
        # Its lower bits are those of a signature, but it is no packet.
        ("PGP SIGNATURE", b"\x08\x05", False),
    ],
)
def test_a_block_is_what_its_first_bytes_say(label, begins, is_public):
    text = armour(label, begins + b"Hello", "\n" if label.startswith("PGP") else "")
    start = text.index(base64.b64encode(begins + b"Hello").decode())
    assert PublicBlocks(text.encode()).hold(start, start + 4) is is_public


@pytest.mark.parametrize("shape", SHAPES)
def test_a_block_holds_what_lies_within_its_marks_only(shape):
    text = SHAPES[shape](armour("SSH SIGNATURE", data("SSH SIGNATURE", 1)))
    blocks = PublicBlocks(text.encode())
    first, last = text.index("U1NI"), text.index("-----END")
    assert blocks.hold(first, last)
    assert not blocks.hold(first, last + 1)
    assert not blocks.hold(0, 5)
    # Without its end it is no block.
    assert not PublicBlocks(text[:last].encode()).hold(first, first + 4)


@pytest.mark.parametrize("label", ["CERTIFICATE", "PGP SIGNATURE"])
@pytest.mark.parametrize("body", ["", "MA==", "gA=="])
def test_a_block_of_almost_nothing_is_none(label, body):
    text = f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"
    assert not PublicBlocks(text.encode()).hold(text.index("-\n") + 2, text.index("-\n") + 2)


def test_a_tag_that_was_merged_is_not_flagged_and_its_words_are_read():
    token = Maker(1).fill("ghp_{c30}")[0]
    signature = armour("PGP SIGNATURE", data("PGP SIGNATURE", 5), "\n", "=abcd\n")
    tag = f"object {'a' * 40}\ntype commit\ntag v1\n\nRelease\n{signature}"
    header = "tree 1\nmergetag " + tag.replace("\n", "\n ") + "\n\nMerge\n"
    assert find(header.encode()) == []
    (found,) = find(header.replace("Release", f"Release {token}").encode())
    assert found.secret == token.encode()


@pytest.mark.parametrize("label", LABELS)
def test_a_block_that_is_not_what_its_label_says_is_read_as_any_other_text(label):
    random = Maker(6).value("x", 50)
    assert find(f"-----BEGIN {label}-----\n{random}\n-----END {label}-----".encode())


@pytest.mark.parametrize("label", LABELS)
def test_a_secret_between_the_lines_of_a_block_or_in_its_headers_is_found(label):
    password = Maker(7).fill("{x18}7")[0]
    token = Maker(7).fill("ghp_{c30}")[0]
    whole = armour(label, data(label, 8))
    for line in (f'password = "{password}"', token):
        text = whole.replace("\n", f"\n{line}\n", 3)
        assert find(text.encode()), line
    with_header = armour(label, data(label, 8), f"Comment: password={password}\n\n")
    assert find(with_header.encode())


def test_a_token_of_a_known_form_is_found_inside_a_whole_block_too():
    key = Maker(9).fill("AKIA{216}")[0]
    packed = base64.b64encode(data("PGP SIGNATURE", 9)).decode()
    body = f"{packed[:64]}\n{key}\n{packed[64:]}"
    text = f"-----BEGIN PGP SIGNATURE-----\n{body}\n-----END PGP SIGNATURE-----"
    assert [match.secret for match in find(text.encode())] == [key.encode()]


def test_a_commit_that_ssh_keygen_signed_is_not_flagged(tmp_path):
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", str(tmp_path / "key")),
        check=True,
    )
    for number in range(5):
        (tmp_path / "m").write_text(f"message {number}")
        signed = subprocess.run(
            ("ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(tmp_path / "key"), "-q"),
            input=f"message {number}".encode(), capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        header = "tree 1\ngpgsig " + signed.strip().replace("\n", "\n ") + "\n\nMessage\n"
        assert find(header.encode()) == []
    assert find((tmp_path / "key").read_bytes())
    assert find((tmp_path / "key.pub").read_bytes()) == []
