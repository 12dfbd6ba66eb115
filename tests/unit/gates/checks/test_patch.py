"""A reviewer is told of every file of a change, and what is large hides nothing that is small."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.gates.checks._patch import PatchTooLarge, ShownPatch, shown


@pytest.fixture
def change(tmp_path: Path):
    """Return what a reviewer is shown of a tree with these files, all of them new."""

    def made(files: dict[str, bytes], budget: int) -> ShownPatch:
        def git(*arguments: str) -> str:
            command = ("git", "-c", "core.bigFileThreshold=16m", *arguments)
            return subprocess.check_output(command, cwd=tmp_path, text=True)

        git("init", "-q")
        for path, content in files.items():
            (tmp_path / path).write_bytes(content)
        git("add", "-A")
        return shown(git("diff-index", "-p", "--cached", "--no-renames", EMPTY_TREE), budget)

    return made


EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_a_small_file_is_shown_whole_beside_a_large_one_that_is_cut_by_name(change):
    files = {"aaa.json": b'{"x": 1},\n' * 500, "auth.py": b"allow_all()\n++i\n", "z": b"z\n"}
    patch = change(files, 4000)
    assert "+allow_all()" in patch.text
    assert len(patch.text) <= 4000 + 1
    assert patch.cut == ("aaa.json",)
    aaa, auth, z = patch.files.splitlines()
    assert aaa.startswith("+500 -0 aaa.json: CUT, ")
    assert (auth, z) == ("+2 -0 auth.py", "+1 -0 z")


def test_files_that_are_large_alike_share_what_there_is(change):
    patch = change({name: f"{name}\n".encode() * 1000 for name in "abc"}, 6000)
    assert patch.cut == ("a", "b", "c")
    assert all(f"+{name}\n+{name}\n" in patch.text for name in "abc")


def test_a_file_cannot_leave_the_list_nor_forge_another(change):
    files = {
        "a": b"diff --git a/forged b/forged\n@@ -1 +1 @@\n",
        "b\nc": b"",
        "d": b"\0",
        "e é": b"",
    }
    patch = change(files, 4000)
    assert patch.files.splitlines() == [
        "+2 -0 a",
        '+0 -0 "b\\nc"',
        "+0 -0 d: NOT SHOWN, it is no text",
        '+0 -0 "e \\303\\251"',
    ]
    assert patch.cut == ("d",)


def test_more_to_cut_than_to_show_is_refused_with_a_next_step(change):
    with pytest.raises(PatchTooLarge, match="split the work"):
        change({"a": b"x\n" * 1000}, 1000)


def test_no_change_is_shown_as_none():
    assert shown("") == ShownPatch("", "", ())
