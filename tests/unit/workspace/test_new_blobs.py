"""What a range brings in is read commit by commit, whatever the repository says about itself."""

from __future__ import annotations

import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from orchestrator.workspace import new_blobs as module
from orchestrator.workspace.diff import BLOB_LIMIT_BYTES, changed_contents
from orchestrator.workspace.new_blobs import COMMIT, PATHS, NewBlobs, new_blobs, pending, staged

from .conftest import Host, git

MARK = "a value to look for 4711"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A repository with one commit, the base."""
    folder = tmp_path / "people"
    git(tmp_path, "init", "--quiet", "-b", "main", str(folder))
    save(folder, {"kept.py": "x = 1\n", "old.py": f"{MARK}\n" + "y = 2\n" * 20}, "Begin")
    git(folder, "tag", "base")
    return folder


def save(folder: Path, files: dict[str, str | bytes | None], message: str = "more") -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def brought(host: Host, folder: Path, base: str = "base") -> list[NewBlobs]:
    return list(new_blobs(host.git, folder / ".git", base, "HEAD"))


def new_in(found: list[NewBlobs], what: str = MARK) -> list[tuple[str | None, str]]:
    """Where these bytes stand that did not stand there before."""
    mark = what.encode()
    return [
        (one.commit, one.path)
        for one in found
        if mark in (one.content or b"") and mark not in one.before
    ]


def test_what_a_later_commit_removed_is_still_brought_in(host, people):
    commit = save(people, {"a.py": MARK})
    save(people, {"a.py": None})
    assert new_in(brought(host, people)) == [(commit, "a.py")]


def test_a_merge_is_held_against_each_of_its_parents(host, people):
    git(people, "checkout", "--quiet", "-b", "side")
    side = save(people, {"side.py": MARK})
    git(people, "checkout", "--quiet", "main")
    save(people, {"main.py": "m = 1\n"})
    git(people, "merge", "--quiet", "--no-commit", "side")
    merge = save(people, {"slipped.py": f"in the merge: {MARK}"}, "Merge")
    assert new_in(brought(host, people)) == [(side, "side.py"), (merge, "slipped.py")]


def test_what_was_moved_or_stood_in_the_base_is_not_brought_in(host, people):
    save(people, {"old.py": None, "lib/moved.py": f"{MARK}\n" + "y = 2\n" * 20})
    save(people, {"lib/moved.py": None, "edited.py": f"{MARK}\n" + "y = 2\n" * 19 + "z = 3\n"})
    save(people, {"edited.py": "gone\n"})
    # It comes back to where the base has it, with more around it.
    save(people, {"old.py": f"w = 5\n{MARK}\n"})
    assert new_in(brought(host, people)) == []
    save(people, {"old.py": "nothing\n"})
    save(people, {"old.py": f"nothing\n{MARK}\n"})
    save(people, {"same.py": f"{MARK}\n" + "y = 2\n" * 20})
    assert new_in(brought(host, people)) == []
    copied = save(people, {"copy.py": f"# another place\n{MARK}\n"})
    assert new_in(brought(host, people)) == [(copied, "copy.py")]


def test_what_an_earlier_commit_brought_in_is_not_brought_in_again_by_moving_it(host, people):
    names = [f"{number}.txt" for number in range(8)]
    first = save(people, {name: f"{MARK} {name}" for name in names})
    moved = {f"to/other{name}": f"{MARK} {name}" for name in names}
    save(people, {**dict.fromkeys(names), **moved})
    for name in names:
        assert new_in(brought(host, people), f"{MARK} {name}") == [(first, name)]


def test_the_words_of_commits_and_new_paths_are_brought_in(host, people):
    first = save(people, {f"docs/{MARK}/a.txt": "a"})
    assert new_in(brought(host, people)) == [(first, PATHS)]
    second = save(people, {f"docs/{MARK}/a.txt": "b"}, f"Explain {MARK}")
    assert new_in(brought(host, people)) == [(second, COMMIT), (first, PATHS)]
    save(people, {f"docs/{MARK}/b.txt": "b"})
    assert new_in(brought(host, people, second)) == []
    assert new_in(brought(host, people), "Someone <someone@example.org>")[0] == (first, COMMIT)


def test_an_object_over_the_limit_is_named_and_never_read(host, people):
    size = 200 * 2**20
    with subprocess.Popen(("head", "-c", str(size), "/dev/zero"), stdout=subprocess.PIPE) as zeros:
        big = subprocess.run(
            ("git", "hash-object", "-w", "--stdin"),
            cwd=people, stdin=zeros.stdout, capture_output=True, check=True, text=True,
        ).stdout.strip()  # fmt: skip
    git(people, "update-index", "--add", "--cacheinfo", f"100644,{big},big.bin")
    git(people, "commit", "--quiet", "-m", "big")
    git(people, "checkout", "--quiet", "HEAD", "kept.py")
    tracemalloc.start()
    try:
        found = {one.path: one for one in brought(host, people)}
        changes = {
            change.path: change
            for change in changed_contents(host.git, people / ".git", "base", "HEAD")
        }
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["big.bin"].content is None
    assert found["big.bin"].reason == f"object {big}: {size} bytes"
    assert changes["big.bin"].before is None
    assert changes["big.bin"].after == b""
    assert peak < BLOB_LIMIT_BYTES


def test_an_object_at_the_limit_is_read(host, people):
    save(people, {"a.bin": b"a" * BLOB_LIMIT_BYTES, "b.bin": b"b" * (BLOB_LIMIT_BYTES + 1)})
    found = {one.path: one.content for one in brought(host, people)}
    assert found["a.bin"] == b"a" * BLOB_LIMIT_BYTES
    assert found["b.bin"] is None


def test_a_tree_of_any_size_made_from_a_few_bytes_is_not_listed(host, people):
    """2^40 files in 41 objects, in a commit that a later one takes back."""
    blob = git(people, "hash-object", "-w", "--stdin", stdin="x")
    tree = git(people, "mktree", stdin=f"100644 blob {blob}\ta\n100644 blob {blob}\tb\n")
    for _ in range(39):
        tree = git(people, "mktree", stdin=f"040000 tree {tree}\ta\n040000 tree {tree}\tb\n")
    bomb = git(people, "commit-tree", tree, "-p", "base", "-m", "bomb")
    after = git(people, "commit-tree", "base^{tree}", "-p", bomb, "-m", "never mind")
    git(people, "update-ref", "refs/heads/main", after)
    (found,) = brought(host, people)
    assert (found.commit, found.path, found.content) == (bomb, PATHS, None)


NAMES = (
    b"with space",
    b"with\nline",
    b'with"quote',
    b"\xff\xfe\x80",
    b"-dash",
    b":colon",
    b"\xc3\xbc",
)


def test_file_names_of_any_bytes_are_read(host, people):
    for name in NAMES:
        (people / os.fsdecode(name)).write_text(f"{MARK} {name!r}")
    commit = save(people, {})
    shown = {name.decode(errors="backslashreplace") for name in NAMES}
    assert set(new_in(brought(host, people))) == {(commit, name) for name in shown}


def test_attributes_filters_and_nuls_hide_nothing_and_run_nothing(host, people, tmp_path):
    """A naive `git diff` sees neither file, and runs what the repository names."""
    ran = tmp_path / "ran"
    for key, value in (
        ("diff.evil.textconv", f"touch {ran}; true"),
        ("filter.evil.clean", f"touch {ran}; cat"),
        ("filter.evil.smudge", f"touch {ran}; cat"),
        ("diff.external", f"touch {ran}; true"),
        ("core.fsmonitor", f"touch {ran}; true"),
    ):
        git(people, "config", key, value)
    commit = save(
        people,
        {
            ".gitattributes": "*.txt -diff filter=evil\n*.md diff=evil\n",
            "a.txt": MARK,
            "b.bin": f"\0{MARK}",
            "c.md": MARK,
        },
    )
    assert MARK not in git(people, "diff", "base", "HEAD")
    assert ran.exists()
    ran.unlink()
    for found in (brought(host, people), list(pending(host.git, people / ".git"))):
        assert {(commit, name) for name in ("a.txt", "b.bin", "c.md")} <= set(new_in(found))
    (people / "d.txt").write_text(MARK)
    git(people, "add", "d.txt")
    ran.unlink()
    assert new_in(list(staged(host.git, people / ".git"))) == [(None, "d.txt")]
    assert not ran.exists()


def test_replaced_objects_are_read_as_they_will_be_pushed(host, people):
    commit = save(people, {"a.py": MARK})
    harmless = git(people, "hash-object", "-w", "--stdin", stdin="nothing here")
    git(people, "replace", git(people, "rev-parse", "HEAD:a.py"), harmless)
    assert git(people, "show", "HEAD:a.py") == "nothing here"
    assert new_in(brought(host, people)) == [(commit, "a.py")]


def test_links_are_read_and_submodules_have_nothing_to_read(host, people):
    (people / "link").symlink_to(MARK)
    git(people, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    git(people, "add", "link")
    git(people, "commit", "--quiet", "-m", "link")
    found = brought(host, people)
    assert [path for _, path in new_in(found)] == ["link"]
    assert "sub" not in {one.path for one in found}


def test_every_file_arrives_once_however_little_is_read_at_a_time(host, people, monkeypatch):
    files = {f"f{number}.txt": f"{number} " * 400 for number in range(30)}
    save(people, files)
    monkeypatch.setattr(module, "_PORTION_BYTES", 2_000)
    found = [one for one in brought(host, people) if one.path in files]
    assert sorted((one.path, one.content.decode()) for one in found) == sorted(files.items())


def test_staged_is_the_index_and_not_the_working_tree(host: Host, tmp_path):
    folder = tmp_path / "unborn"
    git(tmp_path, "init", "--quiet", "-b", "main", str(folder))
    assert list(staged(host.git, folder / ".git")) == []
    assert list(pending(host.git, folder / ".git")) == []
    (folder / "a.py").write_text(MARK)
    git(folder, "add", "a.py")
    (folder / "a.py").write_text("not staged")
    assert new_in(list(staged(host.git, folder / ".git"))) == [(None, "a.py")]


def test_pending_is_what_no_remote_has(host: Host, upstream):
    clone = upstream.clone
    upstream.commit(**{"a.txt": MARK})
    assert list(pending(host.git, clone / ".git")) == []
    commit = save(clone, {"b.txt": MARK})
    assert new_in(list(pending(host.git, clone / ".git"))) == [(commit, "b.txt")]
