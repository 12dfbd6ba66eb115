"""Every branch name that git accepts is accepted, and no other."""

from __future__ import annotations

import random
import subprocess

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.models.identifiers import Branch

ACCEPTED = [
    *("fix/#123", "größe", "release=1.2", "a", "@", "x;y", "x$(y)", "a'b", 'a"b', "(a)", "a,b"),
    *("feature/ü/é", "日本", "a@b", "x.y", "x!", "%20", "&", "a|b", "<a>", "é" * 100, "refs/x"),
]
REFUSED = [
    *("", "-x", "HEAD", ".a", "a/.b", "a..b", "a.lock", "a.lock/b", "a b", "a~b", "a^b", "a:b"),
    *("a?b", "a*b", "a[b", "a\\b", "a/", "/a", "a//b", "a.", "a@{b", "a\nb", "a\x7fb", "a\0b"),
    *("x" * 251, "\ud800", "main:refs/heads/x", "@{-1}"),
]
_SIGNS = "ab/.-@{}#=~^:?*[\\ \x7f;$'\"lock.ü"


def _git_accepts(name: str) -> bool:
    asked = ("git", "check-ref-format", f"refs/heads/{name}")
    return not name.startswith("-") and not subprocess.run(asked, check=False).returncode


def _is_accepted(name: str) -> bool:
    try:
        return TypeAdapter(Branch).validate_python(name) == name
    except ValidationError:
        return False


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    assert _git_accepts(name)
    assert _is_accepted(name)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    assert not _is_accepted(name)


def test_a_full_name_is_the_branch() -> None:
    assert TypeAdapter(Branch).validate_python("refs/heads/fix/#1") == "fix/#1"


def test_random_names_are_accepted_as_git_accepts_them() -> None:
    chosen = random.Random(16)
    for _ in range(400):
        name = "".join(chosen.choices(_SIGNS, k=chosen.randint(1, 8)))
        if name != "HEAD":
            assert _is_accepted(name) == _git_accepts(name), name
