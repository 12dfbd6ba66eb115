"""A small change stays small: conversions are the base's, and rewrite no line nobody touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import push, take
from .conftest import Host, Upstream, git

ATTRIBUTES = (
    "*.txt text\n*.auto text=auto\n*.crlf text eol=crlf\n*.id ident\n"
    "*.rc text working-tree-encoding=UTF-16\n*.old crlf\n"
)
FILES = {
    "a.txt": b"one\r\ntwo\r\nthree\r\n",
    "mixed.txt": b"one\r\ntwo\nthree\r\n",
    "b.auto": b"one\r\ntwo\r\n",
    "c.crlf": b"one\ntwo\nthree\n",
    "d.crlf": b"one\r\ntwo\nthree\r\n",
    "e.id": b"$Id$\nx\n",
    "f.id": b"$Id: as it was $\nx\n",
    "g.rc": "größer\n".encode(),
    "h.old": b"one\r\n",
}


@pytest.fixture
def converted(host: Host, upstream: Upstream) -> tuple[Base, Workspace]:
    """A base whose files its own attributes would rewrite, and a workspace of it."""
    for name, content in FILES.items():
        (upstream.clone / name).write_bytes(content)
    push(upstream.clone)
    # Only the attributes are new: the blobs stay as they are.
    (upstream.clone / ".gitattributes").write_text(ATTRIBUTES)
    git(upstream.clone, "add", ".gitattributes")
    git(upstream.clone, "commit", "--quiet", "-m", "attributes")
    git(upstream.clone, "push", "--quiet", "origin", "main")
    base = host.mirrors.refresh(upstream.url, "main")
    return base, host.workspaces.create(base, "a1")


def _touch(tree: Path) -> None:
    for name in FILES:
        (tree / name).write_bytes((tree / name).read_bytes())


def _add(tree: Path) -> None:
    git(tree, "add", "-A")


def _renormalise(tree: Path) -> None:
    git(tree, "add", "--renormalize", ".")
    git(tree, "commit", "--quiet", "-m", "all of them")


def _attributes(tree: Path) -> None:
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("* -text\n")
    _touch(tree)


@pytest.mark.parametrize("did", [_touch, _add, _renormalise, _attributes])
def test_what_nobody_changed_keeps_its_blob(
    host: Host, converted: tuple[Base, Workspace], did: Callable[[Path], None]
) -> None:
    base, workspace = converted
    did(workspace.worktree)
    (workspace.worktree / "new").touch()
    assert take(host, base, workspace).changed() == {"new": "A"}


@pytest.mark.parametrize(
    ("name", "old", "new", "stored"),
    [
        ("a.txt", b"two\r\n", b"2\r\n", b"one\r\n2\r\nthree\r\n"),
        ("a.txt", b"two\r\n", b"2\n", b"one\r\n2\nthree\r\n"),
        ("mixed.txt", b"three", b"3", b"one\r\ntwo\n3\r\n"),
        ("b.auto", b"two", b"2", b"one\r\n2\r\n"),
        ("c.crlf", b"two\r\n", b"2\r\n", b"one\n2\nthree\n"),
        ("d.crlf", b"one", b"1", b"1\r\ntwo\nthree\r\n"),
        ("e.id", b"x", b"y", b"$Id$\ny\n"),
        ("f.id", b"x", b"y", b"$Id: as it was $\ny\n"),
        ("h.old", b"one", b"1", b"1\r\n"),
    ],
)
def test_one_changed_line_is_one_changed_line(
    host: Host, converted: tuple[Base, Workspace], name: str, old: bytes, new: bytes, stored: bytes
) -> None:
    base, workspace = converted
    path = workspace.worktree / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    taken = take(host, base, workspace)
    assert taken.changed() == {name: "M"}
    assert taken.content(name) == stored


def test_an_encoding_is_heeded_and_what_it_cannot_hold_is_taken_as_it_is(
    host: Host, converted: tuple[Base, Workspace]
) -> None:
    base, workspace = converted
    tree = workspace.worktree
    (tree / "g.rc").write_bytes("kleiner\n".encode("utf-16"))
    (tree / "raw.rc").write_bytes("plain \xe9".encode())
    (tree / "other").touch()
    taken = take(host, base, workspace)
    assert taken.changed() == {"g.rc": "M", "raw.rc": "A", "other": "A"}
    assert taken.content("g.rc") == b"kleiner\n"
    assert taken.content("raw.rc") == "plain \xe9".encode()


def test_new_and_moved_files_follow_the_base_s_rules_and_not_the_agent_s(
    host: Host, converted: tuple[Base, Workspace]
) -> None:
    base, workspace = converted
    tree = workspace.worktree
    (tree / "new.txt").write_bytes(b"1\r\n2\r\n")
    (tree / "a.txt").rename(tree / "moved.txt")
    (tree / ".gitattributes").write_text(f"{ATTRIBUTES}*.bat text\n")
    (tree / "run.bat").write_bytes(b"1\r\n")
    taken = take(host, base, workspace)
    assert taken.content("new.txt") == b"1\n2\n"
    assert taken.content("moved.txt") == FILES["a.txt"]
    assert taken.content("run.bat") == b"1\r\n"
