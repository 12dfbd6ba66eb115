"""Objects, names and bundles nobody's git would write: refused typed, or taken as what they are."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ChangeRefused, ChangeTooLarge
from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.object_sizes import extents
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import Host, Upstream, git

from .conftest import (
    ANOTHER_USER,
    LIMIT_BYTES,
    captured,
    delivered,
    files_of,
    give_to_another_user,
    naive,
    sandboxed_capture,
)

REF = "refs/orchestrator/change"


def _tree_of(tree: Path, *entries: tuple[str, str, bytes]) -> str:
    """Write a tree that git would not: mode, object, name."""
    content = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, oid, name in entries
    )
    written = subprocess.run(
        ("git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"),
        cwd=tree,
        input=content,
        capture_output=True,
        check=True,
    )
    return written.stdout.decode().strip()


def _bundle_of(tree: Path, base: Base, root: str) -> bytes:
    """Return the bundle an agent could write itself, of a commit with this root tree."""
    tip = git(tree, "commit-tree", root, "-p", base.commit, "-m", "x")
    git(tree, "update-ref", REF, tip)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    return (tree.parent / "hostile").read_bytes()


def _fetch_change(workspace: Workspace) -> None:
    """Give the agent's repository what a capture made of it."""
    bundle = workspace.tmp / "change.bundle"
    git(workspace.worktree, "fetch", "--quiet", str(bundle), f"{REF}:{REF}")


def _refused(host: Host, base: Base, bundle: bytes, match: str | None = None) -> None:
    """Refused wherever a bundle is taken in, with nothing left behind."""
    with (
        pytest.raises(ChangeRefused, match=match),
        host.candidates.received(base, bundle, "a1", 1),
    ):
        pass
    assert not list((host.settings.home / "candidates").iterdir())
    with pytest.raises(ChangeRefused, match=match):
        host.workspaces.create(base, "a2", change=bundle)
    assert not (host.settings.workspaces_dir / "a2").exists()


# ── objects ─────────────────────────────────────────────────────────────────────────────────


def _dot_git(tree: Path) -> str:
    return _tree_of(tree, ("40000", git(tree, "rev-parse", "HEAD^{tree}"), b".git"))


def _dot_git_in_disguise(tree: Path) -> str:
    return _tree_of(tree, ("40000", git(tree, "rev-parse", "HEAD^{tree}"), b".G\xe2\x80\x8cit"))


def _upwards(tree: Path) -> str:
    inner = _tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"escaped"))
    return _tree_of(tree, ("40000", inner, b".."))


def _path_as_name(tree: Path) -> str:
    return _tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"../escaped"))


def _linked_modules(tree: Path) -> str:
    target = git(tree, "hash-object", "-w", "--stdin", stdin="elsewhere")
    return _tree_of(tree, ("120000", target, b".gitmodules"))


def _dashed_url(tree: Path) -> str:
    text = '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=x\n'
    return _tree_of(
        tree, ("100644", git(tree, "hash-object", "-w", "--stdin", stdin=text), b".gitmodules")
    )


def _twice(tree: Path) -> str:
    entry = ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"same")
    return _tree_of(tree, entry, entry)


def _folder_as_file(tree: Path) -> str:
    inner = _tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"x"))
    return _tree_of(tree, ("100644", inner, b"file"))


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (_dot_git, "hasDotgit"),
        (_dot_git_in_disguise, "hasDotgit"),
        (_upwards, "hasDotdot"),
        (_path_as_name, "fullPathname"),
        (_linked_modules, "gitmodulesSymlink"),
        (_dashed_url, "gitmodulesUrl"),
        (_twice, "duplicateEntries"),
        (_folder_as_file, None),
    ],
)
def test_trees_that_trip_git_come_in_naively_and_are_refused_by_ours(
    host: Host,
    base: Base,
    workspace: Workspace,
    tmp_path: Path,
    make: Callable[[Path], str],
    finding: str | None,
) -> None:
    """A fetch of the bundle takes them even with fsck switched on."""
    root = make(workspace.worktree)
    bundle = _bundle_of(workspace.worktree, base, root)
    (tmp_path / "hostile").write_bytes(bundle)
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    fetch = ("-c", "transfer.fsckObjects=true", "fetch", "--quiet", str(tmp_path / "hostile"), REF)
    naive(tmp_path / "victim.git", *fetch)
    assert naive(tmp_path / "victim.git", "cat-file", "-e", root).returncode == 0
    _refused(host, base, bundle, finding)


def test_a_workspace_full_of_nested_repositories_is_staged_naively_and_left_out_by_ours(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "n0").mkdir()
    git(tree / "n0", "init", "--quiet", "--template=")
    git(tree / "n0", "commit", "--quiet", "--allow-empty", "-m", "nested")
    for index in range(1, 50):
        shutil.copytree(tree / "n0", tree / f"n{index}")
    (tree / "new").touch()
    bundle = captured(host, base, workspace)
    naive(tree, "add", "-A")
    assert naive(tree, "ls-files", "--stage").stdout.count("160000 ") == 50
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
    assert change.path == "new"


def test_replaced_objects_lie_to_a_naive_reader_and_not_to_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "README.md").write_text("evil\n")
    git(tree, "commit", "--quiet", "-a", "-m", "x")
    evil = git(tree, "rev-parse", "HEAD:README.md")
    git(tree, "replace", evil, git(tree, "rev-parse", f"{base.commit}:README.md"))
    assert naive(tree, "show", "HEAD:README.md").stdout == "hello\n"
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
        assert change.after == b"evil\n"
        assert "+evil" in host.candidates.patch(candidate, base)
    commit = delivered(host, upstream, base, bundle)
    assert files_of(upstream.path, commit)["README.md"] == "evil"


@pytest.mark.parametrize("where", ["info/grafts", "shallow"])
def test_a_grafted_history_hides_a_commit_naively_and_not_from_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, where: str
) -> None:
    """Ours refuses what has a hole in it, or finds the commit; it never takes the agent's word."""
    tree = workspace.worktree
    for content in ("secret", None):
        (tree / "hidden").write_text(content) if content else (tree / "hidden").unlink()
        (tree / "kept").write_text(str(content))
        git(tree, "add", "-A")
        git(tree, "commit", "--quiet", "-m", "x")
    tip, hidden = git(tree, "rev-parse", "HEAD", "HEAD~1").splitlines()
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git" / where).write_text(
        f"{tip} {base.commit}\n" if where == "info/grafts" else f"{tip}\n"
    )
    assert hidden not in naive(tree, "rev-list", f"{base.commit}..HEAD").stdout.split()
    ended = sandboxed_capture(host, base, workspace)
    bundle = (workspace.tmp / "change.bundle").read_bytes() if not ended.exit_code else b""
    try:
        with host.candidates.received(base, bundle, "a1", 1) as candidate:
            span = (f"^{base.commit}", candidate.commit)
            listed = host.git.run("rev-list", *span, git_dir=candidate.git_dir).decode().split()
            assert hidden in listed
    except ChangeRefused:
        pass


# ── size ────────────────────────────────────────────────────────────────────────────────────


def test_a_small_bundle_of_a_huge_file_fills_a_naive_reader_and_is_refused_by_ours(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """Where a later commit removes it, the history with it stays behind, and the tree leaves."""
    tree, huge = workspace.worktree, 300 * 2**20
    with (tree / "zeros").open("wb") as zeros:
        zeros.truncate(huge)
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "x")
    shown = captured(host, base, workspace)
    assert len(shown) < 2**20
    read = subprocess.run(
        ("git", "cat-file", "blob", "HEAD:zeros"), cwd=tree, capture_output=True, check=True
    )
    assert len(read.stdout) == huge
    del read
    (tree / "zeros").unlink()
    (tree / "new").touch()
    hidden = captured(host, base, workspace)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        pytest.raises(ChangeTooLarge, match="adds 314,"),
        host.candidates.received(base, shown, "a1", 1),
    ):
        pass
    with host.candidates.received(base, hidden, "a1", 1) as candidate:
        assert git(candidate.git_dir, "rev-parse", f"{candidate.commit}~") == base.commit
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == before_kib


@pytest.mark.parametrize(("content", "levels"), [("", 10), ("x" * 100_000, 4)])
def test_a_tree_that_unpacks_to_billions_of_files_is_refused_unlisted(
    host: Host, base: Base, workspace: Workspace, content: str, levels: int
) -> None:
    """Ten folders, each ten times in the next: two kilobytes that a naive listing never ends."""
    tree = workspace.worktree
    blob = git(tree, "hash-object", "-w", "--stdin", stdin=content)
    root = _tree_of(tree, *(("100644", blob, b"%d" % n) for n in range(10)))
    for _ in range(levels - 1):
        root = _tree_of(tree, *(("40000", root, b"%d" % n) for n in range(10)))
    bundle = _bundle_of(tree, base, root)
    assert len(bundle) < 4096
    with subprocess.Popen(
        ("git", "ls-tree", "-r", "--long", root), cwd=tree, stdout=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        assert all(listing.stdout.readline() for _ in range(10**4))
        listing.kill()
    for take in (
        lambda: host.workspaces.create(base, "a2", change=bundle),
        lambda: host.candidates.received(base, bundle, "a1", 1).__enter__(),
    ):
        with pytest.raises(ChangeTooLarge):
            take()


def test_folders_of_many_commits_that_fill_a_naive_reader_are_refused_unread(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """Some kilobytes of them; and no commit has more files than may come in."""
    tree = workspace.worktree
    blob = git(tree, "hash-object", "-w", "--stdin", stdin="x")
    tip = base.commit
    for number in range(60):
        names = (b"%05d" % name for name in range(20_000))
        folder = _tree_of(tree, *(("100644", blob, name) for name in names), *_marked(blob, number))
        root = _tree_of(tree, ("40000", folder, b"folder"))
        tip = git(tree, "commit-tree", root, "-p", tip, "-m", "x")
    git(tree, "update-ref", REF, tip)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    bundle = (tree.parent / "hostile").read_bytes()
    assert len(bundle) < 2**20
    for take in (
        lambda: host.workspaces.create(base, "a2", change=bundle),
        lambda: host.candidates.received(base, bundle, "a1", 1).__enter__(),
    ):
        with pytest.raises(ChangeTooLarge, match="of them folders"):
            take()


def _marked(blob: str, number: int) -> tuple[tuple[str, str, bytes], ...]:
    """What sets one folder apart from the others, behind its other names."""
    return (("100644", blob, b"x%05d" % number),)


def test_a_folder_that_stands_in_every_place_of_another_is_measured_once(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """By the square of its places it would take hours."""
    tree, places = workspace.worktree, 50_000
    blob = git(tree, "hash-object", "-w", "--stdin", stdin="x")
    inner = _tree_of(tree, *(("100644", blob, b"%05d" % n) for n in range(places)))
    outer = _tree_of(tree, *(("40000", inner, b"%05d" % n) for n in range(places)))
    (extent,) = extents(host.git, tree / ".git", (outer,))
    assert (extent.files, extent.size) == (places**2, places**2)


# ── names ───────────────────────────────────────────────────────────────────────────────────

ODD_NAMES = (
    *(b"\xff\xfe", b"two\nlines", b"tab\there", b"--output=x", b'quo"ted', b"\x1b[31mred"),
    *(b"back\\slash", b" leading", b"trailing ", b"*", b":(top)x", b"~", b"-", b"\x7f"),
)


def test_names_in_any_bytes_mislead_a_naive_reader_and_arrive_whole_in_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    tree = os.fsencode(workspace.worktree)
    for name in ODD_NAMES:
        with open(os.path.join(tree, name), "wb") as file:  # noqa: PTH123, PTH118 - bytes
            file.write(b"odd")
    naive(workspace.worktree, "add", "-N", "--", ".")
    listed = naive(workspace.worktree, "diff", "--name-only").stdout.splitlines()
    assert set(listed) != {name.decode(errors="replace") for name in ODD_NAMES}
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        changes = host.candidates.contents(candidate, base)
        assert len({change.path for change in changes}) == len(ODD_NAMES)
        assert {change.after for change in changes} == {b"odd"}
        for text in (*(change.path for change in changes), host.candidates.patch(candidate, base)):
            text.encode()
    commit = delivered(host, upstream, base, bundle)
    raw = subprocess.run(
        ("git", "ls-tree", "-z", "--name-only", commit),
        cwd=upstream.path,
        capture_output=True,
        check=True,
    )
    assert set(raw.stdout.split(b"\0")) == {*ODD_NAMES, b".gitignore", b"README.md", b""}


# ── links ───────────────────────────────────────────────────────────────────────────────────


def test_a_link_shows_a_private_file_to_a_naive_reader_and_only_its_target_to_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.write_text("private")
    (workspace.worktree / "README.md").unlink()
    (workspace.worktree / "README.md").symlink_to(private)
    assert (workspace.worktree / "README.md").read_text() == "private"
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
        assert change.after == str(private).encode()
    commit = delivered(host, upstream, base, bundle)
    assert files_of(upstream.path, commit)["README.md"] == str(private)


def test_a_folder_swapped_for_a_link_is_written_through_naively_and_not_by_ours(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (upstream.clone / "docs").mkdir()
    (upstream.clone / "docs/index").write_text("x")
    upstream.commit()
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    shutil.rmtree(workspace.worktree / "docs")
    (workspace.worktree / "docs").symlink_to(outside)
    (workspace.worktree / "docs/index").write_text("naive")
    assert (outside / "index").read_text() == "naive"
    (outside / "index").unlink()
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not list(outside.iterdir())


def test_a_repository_swapped_for_another_s_is_committed_to_naively_and_not_by_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "operators")
    operators = tmp_path / "operators"
    git(operators, "commit", "--quiet", "--allow-empty", "-m", "the operator's")
    shutil.rmtree(workspace.worktree / ".git")
    (workspace.worktree / ".git").symlink_to(operators / ".git")
    (workspace.worktree / "new").touch()
    naive(workspace.worktree, "add", "-A")
    naive(workspace.worktree, "commit", "--quiet", "-m", "the agent's")
    assert git(operators, "log", "-1", "--format=%s") == "the agent's"
    before = git(operators, "for-each-ref") + (operators / ".git/index").read_bytes().hex()
    captured(host, base, workspace)
    assert git(operators, "for-each-ref") + (operators / ".git/index").read_bytes().hex() == before
    host.workspaces.remove("a1")
    git(operators, "fsck", "--strict")


# ── bundles ─────────────────────────────────────────────────────────────────────────────────


def _split(bundle: bytes) -> tuple[list[bytes], bytes]:
    header, _, pack = bundle.partition(b"\n\n")
    return header.split(b"\n"), pack


def _no_bundle(bundle: bytes, base: Base) -> bytes:
    return b"PK\x03\x04" + bundle


def _second_ref(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join([*lines, f"{base.commit} refs/heads/main".encode()]) + b"\n\n" + pack


def _another_ref(bundle: bytes, base: Base) -> bytes:
    return bundle.replace(REF.encode(), b"refs/heads/main", 1)


def _partial(bundle: bytes, base: Base) -> bytes:
    return bundle.replace(b"# v2 git bundle\n", b"# v3 git bundle\n@filter=blob:none\n", 1)


def _empty_pack(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join(lines) + b"\n\n" + pack[:8] + bytes(4) + pack[-20:]


def _wrong_sum(bundle: bytes, base: Base) -> bytes:
    return bundle[:-1] + bytes([bundle[-1] ^ 1])


def _too_many_said(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join(lines) + b"\n\n" + pack[:8] + b"\xff" * 4 + pack[12:]


def _option_as_tip(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join([*lines[:-1], b"--output=x " + REF.encode()]) + b"\n\n" + pack


@pytest.mark.parametrize(
    "forge",
    [
        *(_no_bundle, _second_ref, _another_ref, _partial, _empty_pack, _wrong_sum),
        *(_too_many_said, _option_as_tip),
    ],
)
def test_a_forged_bundle_is_refused(
    host: Host, base: Base, workspace: Workspace, forge: Callable[[bytes, Base], bytes]
) -> None:
    (workspace.worktree / "new").write_text("x")
    _refused(host, base, forge(captured(host, base, workspace), base))


def test_more_refs_than_the_change_come_in_naively_and_never_into_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    tree = workspace.worktree
    (tree / "new").write_text("x")
    own = captured(host, base, workspace)
    _fetch_change(workspace)
    git(tree, "update-ref", "refs/heads/main", REF)
    git(tree, "bundle", "create", "--quiet", "../two", REF, "refs/heads/main", f"^{base.commit}")
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    naive(tmp_path / "victim.git", "fetch", str(tree.parent / "two"), "+refs/*:refs/*")
    planted = git(tree, "rev-parse", "refs/heads/main")
    assert git(tmp_path / "victim.git", "rev-parse", "refs/heads/main") == planted
    _refused(host, base, (tree.parent / "two").read_bytes(), "not a git bundle of one change")
    with host.candidates.received(base, own, "a1", 1) as candidate:
        assert not git(candidate.git_dir, "for-each-ref")


@pytest.mark.parametrize("kind", ["tag", "tree", "blob"])
def test_a_tip_that_is_no_commit_comes_in_naively_and_is_refused_by_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path, kind: str
) -> None:
    tree = workspace.worktree
    (tree / "new").write_text("x")
    captured(host, base, workspace)
    _fetch_change(workspace)
    if kind == "tag":
        git(tree, "tag", "-a", "-m", "x", "tagged", REF)
    oid = git(
        tree, "rev-parse", {"tag": "tagged", "tree": f"{REF}^{{tree}}", "blob": f"{REF}:new"}[kind]
    )
    git(tree, "update-ref", REF, oid)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    naive(tmp_path / "victim.git", "fetch", str(tree.parent / "hostile"), f"{REF}:{REF}")
    assert git(tmp_path / "victim.git", "cat-file", "-t", REF) == kind
    _refused(host, base, (tree.parent / "hostile").read_bytes())


# ── workspaces in a bad state ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("closed", ["docs/own", "docs", ".", ".git", ".git/objects"])
def test_what_the_agent_made_unreadable_is_lost_naively_and_kept_by_ours(
    host: Host, upstream: Upstream, closed: str
) -> None:
    """Of a closed folder a naive `git add` even says that all went well."""
    (upstream.clone / "docs").mkdir()
    (upstream.clone / "docs/index").write_text("x")
    upstream.commit()
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    (workspace.worktree / "docs/own").write_text("own")
    give_to_another_user(workspace)
    (workspace.worktree / closed).chmod(0)
    call = (*ANOTHER_USER, "sh", "-c", "cd tree && git add -A && git ls-files")
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace.home)}
    staged = subprocess.run(call, cwd=workspace.root, env=env, check=False, capture_output=True)
    assert b"docs/own" not in staged.stdout
    ended = sandboxed_capture(host, base, workspace, *ANOTHER_USER)
    assert ended.exit_code == 0, ended.stderr
    commit = delivered(host, upstream, base, read_bundle(workspace, LIMIT_BYTES))
    assert not workspace.root.exists()
    assert set(files_of(upstream.path, commit)) == {
        *(".gitignore", "README.md", "docs/index", "docs/own")
    }
