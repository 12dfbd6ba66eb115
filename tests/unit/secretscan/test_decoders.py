"""A secret is the same one in every encoding, where it stands, at a bounded cost."""

from __future__ import annotations

import base64

import pytest

from orchestrator.secretscan import UNSCANNABLE, AllowList, ScannedText, Scanner, engine, masked
from orchestrator.secretscan.encodings import encoded
from orchestrator.secretscan.engine import find
from orchestrator.secretscan.literals import joints
from orchestrator.secretscan.views import Edit, View
from tests.doubles.secret_encoded import ENCODINGS, NAMED
from tests.doubles.secret_maker import Maker

SEEDS = range(1, 6)
KEY = b"k" * 32


def token(seed: int) -> str:
    return Maker(seed).fill("ghp_{c30}")[0]


def password(seed: int) -> str:
    return Maker(seed).fill("{x9}7{x8}")[0]


def scan(content: str, before: str = ""):
    text = ScannedText(None, "a", content.encode(), before.encode())
    return Scanner(KEY, AllowList()).scan([text])


@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_token_is_found_in_every_encoding_as_the_same_one_on_its_line(kind):
    for seed in SEEDS:
        secret = token(seed)
        (plain,) = scan(f"\n\n{secret}\n")
        found = scan(f"x = 1\n\n{ENCODINGS[kind](secret)}\ny = 2\n")
        assert plain.fingerprint in {one.fingerprint for one in found}, ENCODINGS[kind](secret)
        assert 3 <= found[0].line <= 5


@pytest.mark.parametrize("kind", NAMED)
def test_a_password_that_its_name_shows_is_found_in_every_encoding(kind):
    for seed in SEEDS:
        secret = password(seed)
        text = NAMED[kind](secret)
        assert secret.encode() in {match.secret for match in find(text.encode())}, text


@pytest.mark.parametrize("kind", [*ENCODINGS, *NAMED])
def test_what_is_masked_shows_neither_the_secret_nor_what_encodes_it(kind):
    writer = ENCODINGS.get(kind) or NAMED[kind]
    secret = token(7) if kind in ENCODINGS else password(7)
    shown = masked(writer(secret))
    assert "[secret:" in shown
    assert find(shown.encode()) == []


@pytest.mark.parametrize("kind", ENCODINGS)
def test_what_the_base_holds_in_an_encoding_is_not_found(kind):
    text = ENCODINGS[kind](token(3))
    assert scan(f"x = 1\n{text}\n", before=f"{text}\n") == ()
    # Nor in another one than before.
    assert scan(text, before=token(3)) == ()
    assert scan(token(3), before=text) == ()


def test_what_the_base_shows_plainly_or_encoded_is_not_found():
    secret = password(2)
    content = NAMED["hex"](secret)
    assert len(scan(content)) == 1
    for held in (secret, content.removeprefix("password = ")):
        # There it looks like no secret.
        before = f"of {held} of"
        assert scan(before) == ()
        assert scan(content, before=before) == (), held


def test_what_is_encoded_and_harmless_is_not_found():
    for kind, writer in ENCODINGS.items():
        for text in ("a sentence with nothing to hide, at all", "tests/unit/gates/test_plan.py"):
            # Both have to be cut at places of a token.
            assert scan(writer(text.replace("_", "-") + "_x")) == (), kind


@pytest.mark.parametrize(
    "written", ["bytes([{}]).decode()", "Buffer.from([{}])", "f(g.h( [{}] ))", "[{}]"]
)
def test_a_list_of_bytes_is_read_as_a_literal_without_the_calls_around_it(written):
    text = "k = " + written.format(", ".join(str(ord(sign)) for sign in "hunter2-hunter2"))
    (edit,) = encoded(text.encode())
    after = ".decode()" if "decode" in text else ""
    assert View(text.encode(), [edit]).text == f'k = "hunter2-hunter2"{after}'.encode()


@pytest.mark.parametrize(
    ("written", "plain", "shown"),
    [
        ('k = b64decode("{}")', "hunter2-Hunter2", 'k = "hunter2-Hunter2"'),
        # A call that does not end here, and a text that would end the literal.
        ('k = b64decode("{}', "hunter2-Hunter2", 'k = b64decode("hunter2-Hunter2'),
        ('k = b64decode("{}")', 'hunter2-"Hunter2', 'k = b64decode("hunter2-"Hunter2")'),
    ],
)
def test_base64_is_read_as_a_literal_without_a_whole_call_around_it(written, plain, shown):
    text = written.format(base64.b64encode(plain.encode()).decode()).encode()
    (edit,) = encoded(text)
    assert View(text, [edit]).text == shown.encode()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('k = concat("ab", "cd")', 'k = "abcd")'),
        ('k = "-".join(["ab", "cd"])', 'k = "ab-cd"])'),
        ('k = ["ab", "cd"].join("-")', 'k = "ab-cd"]"-")'),
        ('k = `${"ab"}cd`', "k = `abcd`"),
        # A call within the list of another one.
        (f'k = f.join(["a", g.join(["{"b" * 60}", "c"])])', f'k = "a", g.join(["{"b" * 60}c"])])'),
        # Neither a template nor one text.
        ('k := []string{"ab"}', ""),
        ('k = os.path.join("ab", "cd")', ""),
    ],
)
def test_literals_that_a_program_joins_are_read_as_one(written, shown):
    edits = joints(written.encode())
    assert View(written.encode(), edits).text == shown.encode()
    assert all(isinstance(edit.replacement, bytes) for edit in edits)


@pytest.mark.parametrize("depth", [3, 4])
def test_what_is_encoded_more_often_than_twice_is_not_found(depth):
    """The page says so."""
    text = token(1)
    for _ in range(depth):
        text = ENCODINGS["base64"](text).removeprefix("k: ")
    assert scan(f"k: {text}") == ()


@pytest.mark.parametrize(
    "hidden",
    [
        lambda t: f"k = '{t[::-1]}'[::-1]",
        lambda t: f"a = '{t[:20]}'\nb = 1\nc = '{t[20:]}'\nk = a + c",
        lambda t: bytes(ord(sign) ^ 42 for sign in t).hex(),
        lambda t: "k = '" + t[:20] + "' + str(x) + '" + t[20:] + "'",
    ],
    ids=["reversed", "in-variables", "xor", "around-a-value"],
)
def test_what_only_running_the_program_shows_is_not_found(hidden):
    """The page says so."""
    assert "github" not in repr(scan(hidden(token(1))))


def test_every_reading_is_within_the_one_deadline(monkeypatch):
    content = "".join(f'k = "{token(seed)[:9]}" + "{token(seed)[9:]}"\n' for seed in range(2000))
    monkeypatch.setattr(engine, "SCAN_TIMEOUT_S", 0.0)
    assert [one.rule for one in scan(content)] == [UNSCANNABLE]


def test_a_view_tells_where_each_byte_came_from():
    text = b"before\nab<1>cd<2>\nskipped\nef<3>\n"
    edits = [Edit(9, 12), Edit(14, 17, b"XY"), Edit(28, 31)]
    view = View(text, edits)
    assert view.text == b"abcdXY\nef\n"
    for sign in b"abcdef":
        place = view.text.index(sign)
        start, end = view.origin(place, place + 1)
        assert text[start:end] == bytes((sign,))
    # What was replaced came from all of it.
    assert view.origin(5, 6) == (14, 17)
    assert view.origin(3, 6) == (13, 17)


def test_the_parts_of_a_long_line_are_lines_of_their_own():
    text = b"a<1>b" + b"x" * 20_000 + b"c<2>d\n"
    second = text.index(b"<2>")
    shown = View(text, [Edit(1, 4), Edit(second, second + 3)]).text
    first, last = shown.splitlines()
    assert (first[:3], last[-3:]) == (b"abx", b"xcd")
    assert len(shown) < len(text) / 2
    # A line that ends is followed by the next one as it is.
    assert View(b"a<1>\nb<2>\n", [Edit(1, 4), Edit(6, 9)]).text == b"a\nb\n"
