"""Findings: only what is new, told by a keyed fingerprint, never showing the secret."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.secretscan import (
    UNSCANNABLE,
    AllowList,
    ScannedText,
    Scanner,
    masked,
    sarif,
)
from orchestrator.secretscan.engine import find
from tests.doubles.secret_maker import Maker
from tests.doubles.secret_set import positives

KEY = b"k" * 32
TOKEN = Maker(1).fill("ghp_{c30}")[0]
PASSWORD = Maker(2).fill("{x18}7")[0]
HERE = "https://example.org/r.git"


def scan(*texts: ScannedText, allow: AllowList | None = None, key: bytes = KEY):
    return Scanner(key, allow or AllowList()).scan(texts, repository=HERE)


def text(content: str, *, file: str = "a.py", before: str = "", commit: str | None = "c" * 40):
    return ScannedText(commit, file, content.encode(), before.encode())


def test_a_finding_says_rule_commit_file_line_and_a_keyed_fingerprint():
    (found,) = scan(text(f"x = 1\ntoken = '{TOKEN}'\n"))
    assert found.wire() == {
        "rule": "betterleaks.github-pat",
        "commit": "c" * 40,
        "file": "a.py",
        "line": 2,
        "fingerprint": found.fingerprint,
    }
    (elsewhere,) = scan(text(f"- {TOKEN}", file="b.md"))
    (other_key,) = scan(text(f"- {TOKEN}"), key=b"o" * 32)
    assert len(found.fingerprint) == 32
    assert elsewhere.fingerprint == found.fingerprint != other_key.fingerprint


def test_what_stood_there_before_is_not_found_and_what_is_new_beside_it_is():
    before = f"password = '{PASSWORD}'\n"
    assert scan(text(f"x = 1\n{before}", before=before)) == ()
    found = scan(text(f"{before}token = '{TOKEN}'\n", before=before))
    assert [finding.line for finding in found] == [2]
    wide = ScannedText(None, "a", before.encode("utf-16-be"), before.encode())
    assert scan(wide) == ()


def test_each_secret_of_a_text_is_found_once():
    assert len(scan(text(f"a = '{TOKEN}'\n" * 5 + f"password = '{PASSWORD}'\n"))) == 2


def test_what_cannot_be_read_is_a_finding_that_can_be_told_from_another():
    one, two = scan(
        ScannedText("c", "big.bin", None, reason="object 1"),
        ScannedText("c", "big.bin", None, reason="object 2"),
    )
    assert one.rule == two.rule == UNSCANNABLE
    assert one.fingerprint != two.fingerprint


def test_a_secret_in_a_path_is_found_and_not_shown():
    path = f"notes/{TOKEN}.txt"
    found = scan(text(path, file="<paths>"), text(f"password = '{PASSWORD}'", file=path)) + scan(
        ScannedText(None, path, None)
    )
    assert len(found) == 3
    assert TOKEN not in repr(found)
    assert found[1].file == "notes/[secret:betterleaks.github-pat].txt"


def test_nothing_of_a_secret_stands_in_anything_that_is_shown():
    for case in positives(5):
        texts = ScannedText("c", "f", case.content)
        found = scan(texts)
        shown = repr((texts, found, find(case.content))) + json.dumps(sarif(found))
        shown += json.dumps([finding.wire() for finding in found])
        assert not [value for value in case.values if len(value) > 7 and value in shown], case.kind


def test_masked_replaces_every_secret_by_its_rule_and_leaves_the_rest():
    line = f"pushed with {TOKEN}, and password='{PASSWORD}' über alles\n"
    shown = masked(line)
    assert TOKEN not in shown
    assert PASSWORD not in shown
    assert shown.startswith("pushed with [secret:betterleaks.github-pat], and password='[secret:")
    assert shown.endswith("' über alles\n")
    split = masked(f'"{TOKEN[:20]}" + "{TOKEN[20:]}"')
    assert TOKEN[5:20] not in split
    assert TOKEN[20:] not in split
    assert TOKEN not in masked(TOKEN[:9] + "\0" + TOKEN[9:]).replace("\0", "")


@pytest.mark.parametrize("plain", ["", "all 12 tests passed", "über \udcff alles", "a\tb\r\n"])
def test_masked_changes_nothing_else(plain):
    assert masked(plain) == plain


def test_sarif_has_a_rule_and_a_result_for_each_and_no_snippet():
    content = f"token = '{TOKEN}'\npassword = '{PASSWORD}'\n"
    found = scan(text(content, file="a b.py", commit=None))
    document = sarif(found)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {f.rule for f in found}
    for finding, result in zip(found, run["results"], strict=True):
        assert result["ruleId"] == finding.rule
        assert f"by rule {finding.rule};" in result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"] == {
            "artifactLocation": {"uri": "a%20b.py"},
            "region": {"startLine": finding.line},
        }
        assert result["partialFingerprints"] == {"orchestratorSecret/v1": finding.fingerprint}
    assert sarif(())["runs"][0]["results"] == []
    (named,) = sarif(scan(text(f"t = '{TOKEN}'", commit="c" * 40)))["runs"][0]["results"]
    assert f"(commit {'c' * 40});" in named["message"]["text"]


def allow_list(tmp_path, content: str) -> AllowList:
    path = tmp_path / "allow.toml"
    path.write_text(content)
    return AllowList.load(path)


@pytest.mark.parametrize(
    ("entry", "is_allowed"),
    [
        ("fingerprint = '{fingerprint}'", True),
        ("rule = 'betterleaks.github-pat'", True),
        ("fingerprint = '{fingerprint}'\nrepository = '{here}'", True),
        ("fingerprint = '{fingerprint}'\nrepository = 'https://example.org/other.git'", False),
        ("fingerprint = '{fingerprint}'\nrule = 'unscannable'", False),
        ("fingerprint = '00000000000000000000000000000000'", False),
    ],
)
def test_an_entry_allows_what_all_it_names_fits(tmp_path, entry, is_allowed):
    (found,) = scan(text(TOKEN))
    named = entry.format(fingerprint=found.fingerprint, here=HERE)
    allow = allow_list(tmp_path, f"[[allow]]\nreason = 'a test key'\n{named}\n")
    assert (scan(text(TOKEN), allow=allow) == ()) is is_allowed


def test_what_is_allowed_leaves_room_for_what_is_not(tmp_path):
    """However much of it stands before."""
    passwords = "".join(f"password = '{PASSWORD}{number}'\n" for number in range(300))
    (rule,) = {found.rule for found in scan(text(passwords))}
    allow = allow_list(tmp_path, f"[[allow]]\nreason = 'of the tests'\nrule = '{rule}'\n")
    (found,) = scan(text(f"{passwords}token = '{TOKEN}'\n"), allow=allow)
    assert (found.rule, found.line) == ("betterleaks.github-pat", 301)


def test_more_than_can_be_looked_at_is_not_let_through(tmp_path):
    many = "".join(f"password = '{PASSWORD}{number}'\n" for number in range(10_001))
    (rule, *_) = {found.rule for found in scan(text(many))}
    allow = allow_list(tmp_path, f"[[allow]]\nreason = 'of the tests'\nrule = '{rule}'\n")
    assert [found.rule for found in scan(text(many), allow=allow)] == [UNSCANNABLE]


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("[[allow]]\nreason = 'all of it'\nrepository = 'r'\n", "allow.0: must name a fingerprint"),
        ("[[allow]]\nrule = 'x'\n", "allow.0.reason: Field required"),
        ("[[allow]]\nrule = 'x'\nreason = ''\n", "allow.0.reason"),
        ("[[allow]]\nrule = 'x'\nreason = 'y'\npath = 'vendor/'\n", "allow.0.path"),
        ("[[allow]]\nfingerprint = 'abc'\nreason = 'y'\n", "allow.0.fingerprint"),
        ("allow = [", "is no TOML"),
        ("[[allowed]]\n", "allowed"),
    ],
)
def test_a_wrong_allow_list_is_told_with_its_file_and_entry(tmp_path, content, reported):
    with pytest.raises(SettingsInvalid, match=r"allow\.toml.*ORCHESTRATOR_SECRET_ALLOW_LIST") as e:
        allow_list(tmp_path, content)
    assert reported in str(e.value)


def test_an_allow_list_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsInvalid, match=r"gone\.toml cannot be read"):
        AllowList.load(tmp_path / "gone.toml")
    assert AllowList.load(None) == AllowList()
