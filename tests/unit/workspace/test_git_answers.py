"""Answers of git about objects are remembered; answers that may change are not."""

from __future__ import annotations

import shutil

import pytest

from orchestrator.errors import GitFailed
from orchestrator.workspace import git_answers
from orchestrator.workspace.git_answers import Answers, is_of_objects

from .conftest import Host

ONE, TWO = "1" * 40, "a" * 40


def test_what_is_named_by_ids_is_read_once(make_host, upstream):
    host: Host = make_host("here")
    base = host.mirrors.refresh(upstream.url, "main")
    asked = ("ls-tree", "-r", "-z", base.commit)
    first = host.git.of_objects(*asked, git_dir=base.mirror)
    # No git can answer again.
    shutil.rmtree(base.mirror)
    assert host.git.of_objects(*asked, git_dir=base.mirror) == first
    with pytest.raises(GitFailed):
        host.git.of_objects("ls-tree", "-r", base.commit, git_dir=base.mirror)
    # Another repository may not have the object.
    with pytest.raises(GitFailed):
        host.git.of_objects(*asked, git_dir=base.mirror.with_name("other.git"))


@pytest.mark.parametrize(
    ("arguments", "stdin", "answer", "is_lasting"),
    [
        (("diff-tree", "-r", ONE, TWO), b"", b"x", True),
        (("rev-list", "--objects", ONE, f"^{TWO}"), b"", b"x", True),
        (("ls-tree", "-z", ONE, "--", "pyproject.toml"), b"", b"", True),
        (("cat-file", "--batch"), f"{ONE}\n{TWO}\n".encode(), b"x", True),
        (("cat-file", "blob", ONE), b"", b"x", True),
        # A branch moves, and a short id may become ambiguous.
        (("ls-tree", "main"), b"", b"x", False),
        (("ls-tree", ONE[:12]), b"", b"x", False),
        (("diff-tree", "-r", ONE, "HEAD"), b"", b"x", False),
        (("cat-file", "--batch"), b"main\n", b"x", False),
        (("cat-file", "--batch"), b"", b"x", False),
        # An object may be received later.
        (("cat-file", "--batch-check"), f"{ONE}\n".encode(), f"{ONE} missing\n".encode(), False),
        # It reads refs.
        (("for-each-ref", ONE), b"", b"x", False),
    ],
)
def test_an_answer_lasts_if_all_is_named_by_full_ids(arguments, stdin, answer, is_lasting):
    assert is_of_objects(arguments, stdin, answer) is is_lasting


def test_the_answers_that_were_used_longest_ago_go_first(monkeypatch):
    monkeypatch.setattr(git_answers, "_MOST_BYTES", 20)
    monkeypatch.setattr(git_answers, "_LARGEST_BYTES", 10)
    answers = Answers()
    questions = [("/repository", (str(number),), (), b"") for number in range(4)]
    answers.remember(questions[0], b"0" * 10)
    answers.remember(questions[1], b"1" * 10)
    assert answers.find(questions[0])
    answers.remember(questions[2], b"2" * 10)
    answers.remember(questions[3], b"too large for it")
    found = [answers.find(question) is not None for question in questions]
    assert found == [True, False, True, False]
