"""What other scanners let an author hide: none of it makes a difference here."""

from __future__ import annotations

import base64
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from orchestrator.secretscan import UNSCANNABLE, AllowList, ScannedText, Scanner, engine
from tests.doubles.secret_maker import Maker

KEY = b"k" * 32


def token(seed: int = 1) -> bytes:
    return Maker(seed).fill("ghp_{c30}")[0].encode()


def password(seed: int = 1) -> bytes:
    return b'password = "%s"\n' % Maker(seed).fill("{x18}7")[0].encode()


def rules(content: bytes, file: str = "a.py") -> list[str]:
    scanner = Scanner(KEY, AllowList())
    return [finding.rule for finding in scanner.scan([ScannedText(None, file, content)])]


@pytest.mark.parametrize(
    "comment",
    [
        "gitleaks:allow",
        "betterleaks:allow",
        "kingfisher:ignore",
        "pragma: allowlist secret",
        "secretlint-disable-line",
        "noqa: S105",
        "nosec",
        "trufflehog:ignore",
    ],
)
def test_no_comment_allows_what_stands_beside_it(comment):
    assert rules(b"t = '%s'  # %s\n" % (token(), comment.encode()))
    assert rules(b"# %s\n%s" % (comment.encode(), password()))


@pytest.mark.parametrize(
    "path",
    [
        "vendor/a.go",
        "node_modules/a/index.js",
        "package-lock.json",
        "go.sum",
        "logo.svg",
        "app.min.js",
        "tests/fixtures/secrets.json",
        ".gitleaks.toml",
        "a.png",
        "poetry.lock",
    ],
)
def test_no_path_is_exempt(path):
    assert rules(token(), path)
    assert rules(password(), path)


def test_no_configuration_is_read_from_where_it_runs(tmp_path, monkeypatch):
    for name in (".gitleaks.toml", ".betterleaks.toml", "kingfisher.toml", ".kingfisher.yml"):
        (tmp_path / name).write_text("[allowlist]\npaths = ['.*']\nregexes = ['.*']\n")
    monkeypatch.chdir(tmp_path)
    assert rules(token())


@pytest.mark.parametrize(
    "head",
    [
        b"\0",
        b"\0" * 4096,
        b"\x7fELF\0\1",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff\xfe\0\0",
        b"\xef\xbb\xbf",
    ],
    ids=lambda head: head[:4].hex(),
)
def test_no_first_bytes_hide_the_rest(head):
    assert rules(head + b"\n" + password())
    assert rules(head + b"x = 1\n" * 100 + b"t = '%s'\n" % token())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_wide_encodings_are_read_and_lines_counted(encoding):
    text = "x = 1\n" * 6 + password().decode()
    scanner = Scanner(KEY, AllowList())
    (wide,) = scanner.scan([ScannedText(None, "a", text.encode(encoding))])
    (plain,) = scanner.scan([ScannedText(None, "a", text.encode())])
    assert wide == plain
    assert wide.line == 7
    # In the middle of other bytes too.
    assert rules(b"plain\n" * 50 + text.encode(encoding))


def test_nuls_inside_a_secret_do_not_hide_it():
    assert rules(b"t = '%s'" % b"\0".join(token()[i : i + 1] for i in range(40)))


def test_a_literal_split_over_lines_is_found_where_it_begins():
    whole = token()
    content = b"x = 1\n" * 3 + b't = (\n    "%s"\n    "%s"\n)\n' % (whole[:20], whole[20:])
    scanner = Scanner(KEY, AllowList())
    found = scanner.scan([ScannedText(None, "a.py", content)])
    (expected,) = scanner.scan([ScannedText(None, "a.py", b"t = '%s'" % whole)])
    assert [(finding.line, finding.fingerprint) for finding in found] == [(5, expected.fingerprint)]


def test_base64_around_a_token_does_not_hide_it():
    assert rules(b"data: %s\n" % base64.b64encode(b"token=%s\n" % token()))


def test_children_forked_after_the_parent_has_scanned_scan_too():
    """One binding hung in every child; Celery's gates pool forks."""
    assert rules(token())
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        results = list(pool.map(rules, [token(seed) for seed in range(12)], timeout=300))
    assert results == [["betterleaks.github-pat"]] * 12


def test_threads_share_one_scanner():
    contents = [token(seed) + b"\n" + password(seed) for seed in range(40)]
    expected = [rules(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(rules, contents)) == expected


def test_a_text_that_takes_too_long_is_a_finding(monkeypatch):
    monkeypatch.setattr(engine, "SCAN_TIMEOUT_S", 0.001)
    assert rules(b"-----BEGIN PRIVATE KEY-----\n" * 20_000) == [UNSCANNABLE]
