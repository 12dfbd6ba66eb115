"""Checkouts of gates: exactly the blobs, and variants with files of the base."""

from __future__ import annotations

import pytest

from orchestrator.gates.check_files import is_made
from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .conftest import Host, Upstream, capture, git

LIMIT = 2**20


def _bundle(workspace: Workspace, base: Base) -> bytes:
    """Return a bundle of a commit as it is; no capture of ours reads its attributes."""
    git(workspace.worktree, "update-ref", "refs/orchestrator/change", "HEAD")
    made = ("bundle", "create", "--quiet", "../made", "refs/orchestrator/change", f"^{base.commit}")
    git(workspace.worktree, *made)
    return (workspace.root / "made").read_bytes()


def _commit(workspace: Workspace, files: dict[str, bytes | None]) -> None:
    """Commit blobs as they are: attributes convert nothing on their way in."""
    for path, content in files.items():
        if content is None:
            git(workspace.worktree, "rm", "-r", "-q", "--cached", path)
            continue
        source = workspace.root / "blob"
        source.write_bytes(content)
        hashed = ("hash-object", "-w", "--no-filters", str(source))
        blob = git(workspace.worktree, *hashed)
        entry = f"100644,{blob},{path}"
        git(workspace.worktree, "update-index", "--add", "--replace", "--cacheinfo", entry)
    git(workspace.worktree, "commit", "--quiet", "-m", "change")


@pytest.mark.parametrize(
    ("attributes", "stored"),
    [
        ("*.py text working-tree-encoding=UTF-16", b"x = 1\n"),
        ("*.py text eol=crlf", b"x = 1\n"),
        ("*.py ident", b"x = '$Id$'\n"),
        ("[attr]bend text eol=crlf ident\n*.py bend", b"x = '$Id$'\n"),
        ("*.py crlf=input text=auto", b"x = 1\r\n"),
        ("*.py filter=lfs", b"version https://git-lfs.github.com/spec/v1\n"),
    ],
)
@pytest.mark.parametrize("place", ["", "pkg/"])
def test_attributes_of_a_change_do_not_alter_what_gates_read(
    host: Host, base: Base, workspace: Workspace, attributes: str, stored: bytes, place: str
) -> None:
    files = {f"{place}.gitattributes": f"{attributes}\n".encode(), "pkg/x.py": stored}
    _commit(workspace, files)
    with (
        host.candidates.received(base, _bundle(workspace, base), "a1", 1) as candidate,
        host.candidates.checked_out(candidate, "tests") as checkout,
    ):
        assert (checkout / "pkg/x.py").read_bytes() == stored


def test_attributes_of_the_base_do_not_either(
    host: Host, upstream: Upstream, workspace: Workspace, base: Base
) -> None:
    upstream.commit(**{".gitattributes": "* text eol=crlf\n"})
    later = host.mirrors.refresh(upstream.url, "main")
    own = host.workspaces.create(later, "a2")
    (own.worktree / "new.py").write_text("x = 1\n")
    assert capture(own, later).exit_code == 0
    bundle = read_bundle(own, LIMIT)
    with (
        host.candidates.received(later, bundle, "a2", 1) as candidate,
        host.candidates.checked_out(candidate, "tests") as checkout,
    ):
        assert (checkout / "README.md").read_bytes() == b"hello\n"


def test_chosen_paths_are_as_in_the_base_and_all_others_as_in_the_change(
    host: Host, base: Base, workspace: Workspace
) -> None:
    _commit(
        workspace, {"README.md": b"bent\n", "new": b"1", "tests/added": b"1", ".gitignore": None}
    )
    with host.candidates.received(base, _bundle(workspace, base), "a1", 1) as candidate:
        chosen = {"README.md", "tests/added", ".gitignore"}
        commit = host.candidates.variant(candidate, base, chosen.__contains__)
        with host.candidates.checked_out(candidate, "tests", commit=commit) as checkout:
            names = {path.name for path in checkout.iterdir()} - {".git"}
            assert names == {"README.md", "new", ".gitignore"}
            assert (checkout / "README.md").read_text() == "hello\n"
        assert host.candidates.variant(candidate, base, lambda _: False) == candidate.commit


@pytest.mark.parametrize("name", ["README.md/tests/x", "with space\t", "ü", 'quo"te'])
def test_names_that_git_quotes_and_folders_in_the_place_of_files(
    host: Host, base: Base, workspace: Workspace, name: str
) -> None:
    _commit(workspace, {"keep": b"1", name: b"bent"})
    with host.candidates.received(base, _bundle(workspace, base), "a1", 1) as candidate:
        commit = host.candidates.variant(candidate, base, lambda path: path != "keep")
        with host.candidates.checked_out(candidate, "tests", commit=commit) as checkout:
            names = {path.name for path in checkout.iterdir()} - {".git"}
            assert names == {"README.md", "keep", ".gitignore"}


def test_made_files_of_the_change_are_left_out_and_those_of_the_base_stay(
    host: Host, upstream: Upstream
) -> None:
    (upstream.clone / "own.egg-info").mkdir()
    upstream.commit(**{"own.egg-info/PKG-INFO": "Name: own\n"})
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    bent = {
        "own.egg-info/PKG-INFO": b"Name: bent\n",
        "own.egg-info/entry_points.txt": b"[pytest11]\n",
        "x.dist-info/METADATA": b"",
        "pkg/__pycache__/m.cpython-311.pyc": b"",
        "m.pyc": b"",
        "pyvenv.cfg": b"",
    }
    _commit(workspace, bent)
    with host.candidates.received(base, _bundle(workspace, base), "a1", 1) as candidate:
        commit = host.candidates.variant(candidate, base, is_made)
        with host.candidates.checked_out(candidate, "tests", commit=commit) as checkout:
            names = {str(p.relative_to(checkout)) for p in checkout.rglob("*") if p.is_file()}
            names = {name for name in names if not name.startswith(".git")}
            assert names == {"README.md", "own.egg-info/PKG-INFO"}
            assert (checkout / "own.egg-info/PKG-INFO").read_text() == "Name: own\n"
