"""`orchestrator.gates.left_out`: since which manifests commands leave out a source of the base."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates.left_out import left_out_sources
from orchestrator.interfaces.gate import FileChange


def found(base: set[str], *changes: FileChange) -> list[tuple[str, str]]:
    """The manifest of each finding, and the source that it leaves out."""
    return [
        (finding.path, finding.detail.rpartition(" ")[2])
        for finding in left_out_sources(changes, base)
    ]


@pytest.mark.parametrize(
    ("path", "before", "base", "source"),
    [
        ("sub/go.mod", None, {"a.go", "sub/b.go"}, "sub/b.go"),
        ("sub/go.mod", b"module x\n", {"sub/b.go"}, ""),
        ("go.mod", None, {"a.go"}, ""),
        ("sub/go.mod", None, {"a.go", "sub/b.py", "subs/c.go"}, ""),
        ("sub/other.mod", None, {"sub/b.go"}, ""),
    ],
)
def test_a_new_module_of_go_takes_the_sources_below_it(path, before, base, source):
    change = FileChange(path, before, b"module y\n")
    assert found(base, change) == ([(path, source)] if source else [])


def test_a_source_that_the_change_removes_is_not_left_out():
    removed = FileChange("sub/b.go", b"package b\n", None)
    edited = FileChange("sub/c.go", b"package b\n", b"package c\n")
    new = FileChange("sub/go.mod", None, b"module y\n")
    assert found({"sub/b.go"}, new, removed) == []
    assert found({"sub/b.go", "sub/c.go"}, new, removed, edited) == [("sub/go.mod", "sub/c.go")]


def manifest(workspaces: object) -> bytes:
    return json.dumps({"name": "x", "workspaces": workspaces}).encode()


@pytest.mark.parametrize(
    ("before", "after", "is_found"),
    [
        (["a", "b"], ["a"], True),
        (["packages/*", "./b/"], ["packages/*", "!b"], True),
        ({"packages": ["a", "b"]}, {"packages": ["a"]}, True),
        (["*"], ["*", "!./b"], True),
        (["a", "b"], [], True),
        (["a", "b"], None, True),
        (["a", "b"], ["b", "a"], False),
        (["a", "b"], ["a", "b"], False),
        (["a", "b"], ["b"], False),
        (["a"], [], False),
        (None, ["a"], False),
        (["!b", "b"], ["b", "c"], False),
    ],
)
@pytest.mark.parametrize("folder", ["", "web/"])
def test_a_workspace_without_a_member_leaves_its_sources_out(before, after, is_found, folder):
    path, source = f"{folder}package.json", f"{folder}b/x.js"
    change = FileChange(path, manifest(before), manifest(after))
    assert found({source, f"{folder}y.js"}, change) == ([(path, source)] if is_found else [])


@pytest.mark.parametrize("content", [None, b"", b"[", b"[]", b'{"workspaces": 3}', b"\xff"])
def test_a_manifest_without_members_leaves_everything_out(content):
    change = FileChange("package.json", manifest(["b"]), content)
    assert found({"b/x.js"}, change) == [("package.json", "b/x.js")]
    assert found({"b/x.js"}, FileChange("package.json", content, manifest(["b"]))) == []
