"""What conflicts is named, and nothing makes git say otherwise: real merges, bare repositories."""

from __future__ import annotations

import itertools
import os

import pytest

from orchestrator.errors import DiskFull, GitFailed
from orchestrator.workspace.conflicts import MergePreview, find_conflicts, rebased
from orchestrator.workspace.host_program import Ended
from tests.unit.workspace.conftest import git

TEXT = "".join(f"{line}\n" for line in range(30))
OURS, THEIRS = (TEXT.replace("15\n", f"{side}\n") for side in ("ours", "theirs"))


@pytest.fixture
def commit(upstream):
    """Commit exactly these files in the bare upstream, on this parent or on none."""
    numbers = itertools.count()

    def make(files: dict[str, str], parent: str = "") -> str:
        ref = f"refs/heads/made-{next(numbers)}"
        script = [f"commit {ref}\ncommitter Someone <someone@example.org> 0 +0000\ndata 0\n"]
        script += [f"from {parent}\ndeleteall\n"] if parent else []
        for path, content in files.items():
            if content.startswith("commit "):
                script.append(f'M 160000 {content.removeprefix("commit ")} "{path}"\n')
            else:
                script.append(f'M 100644 inline "{path}"\ndata {len(content)}\n{content}\n')
        git(upstream.path, "fast-import", "--quiet", stdin="".join(script))
        return git(upstream.path, "rev-parse", ref)

    return make


@pytest.fixture
def preview(host, upstream):
    return lambda ours, theirs: find_conflicts(host.git, upstream.path, ours, theirs)


def shown(preview):
    return [(conflict.path, conflict.kind) for conflict in preview.conflicts]


def test_what_merges_cleanly_is_a_tree(commit, preview, upstream):
    base = commit({"a": TEXT, "b": TEXT})
    merged = preview(commit({"a": OURS, "b": TEXT}, base), commit({"a": TEXT, "b": THEIRS}, base))
    assert merged.conflicts == ()
    assert merged.tree == git(
        upstream.path, "rev-parse", f"{commit({'a': OURS, 'b': THEIRS})}^{{tree}}"
    )


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ({"a": TEXT}, {"a": OURS}, {"a": THEIRS}, [("a", "contents")]),
        ({}, {"a": "1"}, {"a": "2"}, [("a", "add/add")]),
        ({"a": TEXT}, {}, {"a": THEIRS}, [("a", "modify/delete")]),
        ({"a": "\0"}, {"a": "\0001"}, {"a": "\0002"}, [("a", "binary"), ("a", "contents")]),
        (
            {"a": TEXT},
            {"b": TEXT},
            {"c": TEXT},
            [("a", "rename/rename"), ("b", "rename/rename"), ("c", "rename/rename")],
        ),
        ({"a": TEXT}, {"b": TEXT}, {}, [("b", "rename/delete")]),
        ({}, {"a": "1"}, {"a/b": "2"}, [("a", "file/directory")]),
        (
            {"d/a": TEXT},
            {"e/a": TEXT},
            {"d/a": TEXT, "d/b": "2"},
            [("e/b", "directory rename suggested")],
        ),
        # Split evenly, where `d/c` belongs cannot be told: a conflict of no file in particular.
        (
            {"d/a": TEXT, "d/b": OURS * 2},
            {"e/a": TEXT, "f/b": OURS * 2},
            {"d/a": TEXT, "d/b": OURS * 2, "d/c": "3"},
            [("d", "directory rename unclear split")],
        ),
        (
            {"s": f"commit {1:040}"},
            {"s": f"commit {2:040}"},
            {"s": f"commit {3:040}"},
            [("s", "submodule not initialized"), ("s", "submodule")],
        ),
        (
            {"a": TEXT, "b": TEXT, "c": TEXT},
            {"a": OURS, "c": OURS, "b": OURS},
            {"a": THEIRS, "b": TEXT, "c": THEIRS},
            [("a", "contents"), ("c", "contents")],
        ),
    ],
)
def test_every_kind_of_conflict_is_named(commit, preview, base, ours, theirs, expected):
    parent = commit({"kept": "x", **base})
    merged = preview(commit({"kept": "x", **ours}, parent), commit({"kept": "y", **theirs}, parent))
    assert merged.tree is None
    assert shown(merged) == expected


def test_a_path_may_be_any_bytes_and_look_like_gits_own_words(commit, preview):
    paths = [r"\377", r"a\nb", "CONFLICT (binary)", "1"]
    base = commit(dict.fromkeys(paths, TEXT))
    merged = preview(
        commit(dict.fromkeys(paths, OURS), base), commit(dict.fromkeys(paths, THEIRS), base)
    )
    assert shown(merged) == [
        (path, "contents") for path in ("1", "CONFLICT (binary)", "a\nb", r"\xff")
    ]


def test_what_cannot_be_merged_is_never_clean(commit, preview):
    base, alone = commit({"a": TEXT}), commit({"a": OURS})
    for ours, theirs in (("nope", base), (base, "1" * 40), (f"{base}^{{tree}}", base)):
        with pytest.raises(GitFailed, match="rev-parse"):
            preview(ours, theirs)
    with pytest.raises(GitFailed, match="unrelated histories"):
        preview(base, alone)
    with pytest.raises(GitFailed, match="rev-parse"):
        preview("--allow-unrelated-histories", base)


def test_objects_that_are_missing_are_an_error(commit, preview, upstream):
    base = commit({"a": TEXT})
    ours, theirs = commit({"a": OURS}, base), commit({"a": THEIRS}, base)
    sha = git(upstream.path, "rev-parse", f"{theirs}:a")
    (upstream.path / "objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(GitFailed, match=sha):
        preview(ours, theirs)


@pytest.mark.parametrize(
    ("says", "end"),
    [
        ("", "exit 0"),
        ("", "exit 1"),
        (r"no tree\0", "exit 0"),
        (r"%s\0", "exit 128"),
        (r"%s\0", "kill $$"),
        (r"%s\0", "exit 1"),
        (r"%s\0a\0\0x\0", "exit 1"),
        (r"%s\0a\0\0003\0a\0", "exit 1"),
    ],
)
def test_half_an_answer_is_never_clean(says, end, tmp_path, make_host):
    """A git that dies, or prints what no git has printed yet."""
    sha = "1" * 40
    program = tmp_path / "git"
    script = f"[ $1 = rev-parse ] && exec echo {sha}\nprintf '{says}' {sha}\n{end}\n"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    host = make_host(PATH=f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(GitFailed, match="merge-tree"):
        find_conflicts(host.git, tmp_path, sha, sha)


def test_a_full_disk_is_named(make_host, upstream, small_disk):
    host = make_host()
    bare = small_disk / "bare.git"
    git(small_disk, "init", "--quiet", "--bare", str(bare))
    (bare / "objects/info/alternates").write_text(f"{upstream.path / 'objects'}\n")
    base = upstream.commit(a=TEXT)
    ours = upstream.commit(branch="ours", a=OURS)
    git(upstream.clone, "reset", "--quiet", "--hard", base)
    theirs = upstream.commit(branch="theirs", b="x")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(free))
    with pytest.raises(DiskFull):
        find_conflicts(host.git, bare, ours, theirs)


ATTACKS = {
    "union": ({".gitattributes": "* merge=union\n"}, {}),
    "driver": (
        {".gitattributes": "* merge=evil\n"},
        {"merge.evil.driver": "touch {pwned}; true"},
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attributes_and_drivers_of_the_agent_neither_hide_a_conflict_nor_run(
    attack, commit, preview, upstream, tmp_path
):
    planted, config = ATTACKS[attack]
    pwned = tmp_path / "pwned"
    base = commit({"a": TEXT, **planted})
    ours, theirs = commit({"a": OURS, **planted}, base), commit({"a": THEIRS, **planted}, base)

    git(tmp_path, "clone", "--quiet", upstream.url, "agents")
    for key, value in config.items():
        git(tmp_path / "agents", "config", key, value.format(pwned=pwned))
    git(tmp_path / "agents", "checkout", "--quiet", ours)
    # Succeeds, as if clean; a conflict would be an error here.
    git(tmp_path / "agents", "merge-tree", "--write-tree", ours, theirs)
    assert pwned.exists() == (attack == "driver")
    pwned.unlink(missing_ok=True)

    merged = preview(ours, theirs)
    assert (merged.tree, shown(merged)) == (None, [("a", "contents")])
    assert not pwned.exists()


def test_a_rebase_takes_the_change_alone(commit, preview, host, upstream):
    """Of a target that dropped the base commit, a merge would bring the dropped lines back."""
    old = commit({"a": TEXT})
    base = commit({"a": TEXT, "dropped": "secret"}, old)
    change = commit({"a": OURS, "dropped": "secret"}, base)
    onto = commit({"a": TEXT, "new": "x"}, old)

    def files(tree):
        return git(upstream.path, "ls-tree", "--name-only", tree).split()

    assert files(preview(onto, change).tree) == ["a", "dropped", "new"]
    tip_tree = git(upstream.path, "rev-parse", f"{change}^{{tree}}")
    moved = rebased(host.git, upstream.path, base, tip_tree, onto)
    assert files(moved.tree) == ["a", "new"]
    other = commit({"a": THEIRS}, old)
    assert shown(rebased(host.git, upstream.path, base, tip_tree, other)) == [("a", "contents")]


def printed(*fields: str) -> bytes:
    return "".join(f"{field}\0" for field in fields).encode()


TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
PATHS = (TREE, "calc.py", "")
TYPE = ("CONFLICT (contents)", "CONFLICT (content): in calc.py\n")


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        (1, printed(TREE)),
        (1, printed(TREE, "calc.py")),
        (1, printed(*PATHS)),
        (1, printed(*PATHS, "1", "calc.py", "Auto-merging", "Auto-merging calc.py\n")),
        (1, printed(*PATHS, "9", "calc.py", *TYPE)),
        (1, printed(*PATHS, "many", "calc.py", *TYPE)),
        (1, printed("calc.py", "", "1", "calc.py", *TYPE)),
        (2, printed(*PATHS, "1", "calc.py", *TYPE)),
        (1, b""),
        (0, b""),
    ],
)
def test_what_git_prints_otherwise_is_an_error_and_never_a_clean_merge(
    host, upstream, base, monkeypatch, code, stdout
):
    real = host.git.attempt

    def merge(ended: Ended) -> MergePreview:
        monkeypatch.setattr(
            type(host.git),
            "attempt",
            lambda _, name, *rest, **more: (
                ended if name == "merge-tree" else real(name, *rest, **more)
            ),
        )
        return find_conflicts(host.git, upstream.path, base.commit, base.commit)

    assert shown(merge(Ended(1, printed(*PATHS, "1", "calc.py", *TYPE), ""))) == [
        ("calc.py", "contents")
    ]
    with pytest.raises(GitFailed, match="merge-tree"):
        merge(Ended(code, stdout, ""))
