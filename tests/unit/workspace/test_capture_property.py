"""Whatever an agent does, each byte it leaves is captured, kept beside the change, or named.

CAPTURE_RUNS says how many agents play (30), CAPTURE_SEED which is the first (1): a failure prints
its own, and `CAPTURE_RUNS=1 CAPTURE_SEED=<that>` plays it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.workspace.bundle import read_heads
from orchestrator.workspace.change import capture_command, read_bundle, read_report
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .conftest import Host, Upstream, git
from .random_agent import RandomAgent

RUNS = int(os.environ.get("CAPTURE_RUNS", "30"))
SEED = int(os.environ.get("CAPTURE_SEED", "1"))
PORTIONS = min(RUNS, 10)
FILES = {
    "README.md": b"hello\n",
    ".gitignore": b"build/\n*.lock\n",
    ".gitattributes": b"*.txt text\n*.crlf text eol=crlf\nsrc/*.py ident\n",
    "a.txt": b"one\r\ntwo\r\nthree\r\n",
    "b.bin": bytes(range(256)),
    "text.crlf": b"one\ntwo\n",
    "src/one.py": b"# $Id$\nx = 1\n",
    "src/two.py": b"y = 2\n",
    "deep/er/file": b"deep\n",
    "old.lock": b"tracked though ignored\n",
}
#: Reasons for which commits, and not files, are left out.
OF_COMMITS = ("commit", "damaged", "ref that", "repository that", "more than", "objects", "index")


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def standing(tree: Path) -> dict[str, bytes]:
    """Return every file of a worktree, its own repository aside."""
    found = {}
    for path in tree.rglob("*"):
        parts = path.relative_to(tree)
        if parts.parts[0] == ".git":
            continue
        mode = path.lstat().st_mode
        shown = os.fsencode(parts).decode(errors="backslashreplace")
        if stat.S_ISLNK(mode):
            found[shown] = os.fsencode(path.readlink())
        elif not stat.S_ISDIR(mode):
            found[shown] = path.read_bytes() if stat.S_ISREG(mode) else b""
    return found


def reachable(tree: Path, base: str) -> set[str]:
    """Return every blob that a commit of the agent leads to, as git itself finds them."""
    listed = ("rev-list", "--objects", "--no-object-names", "--all", "--reflog", "HEAD", f"^{base}")
    try:
        names = git(tree, *listed)
        shape = "--batch-check=%(objecttype) %(objectname)"
        lines = git(tree, "cat-file", shape, stdin=f"{names}\n").splitlines()
    except subprocess.CalledProcessError:
        return set()
    return {line.split()[1] for line in lines if line.startswith("blob ")}


def staged(tree: Path) -> dict[str, set[str]]:
    """Return the blobs of each index below a worktree, by the folder of its worktree."""
    found = {}
    for where, folders, files in os.walk(tree):
        if ".git" not in (*folders, *files):
            continue
        folder = Path(where)
        listed = subprocess.run(
            ("git", "ls-files", "-s", "-z"), cwd=folder, capture_output=True, check=False
        )
        top = subprocess.run(
            ("git", "rev-parse", "--show-toplevel"), cwd=folder, capture_output=True, check=False
        )
        # In a damaged repository git answers for the one around it.
        if listed.returncode == 0 and top.stdout.rstrip(b"\n") == os.fsencode(folder.resolve()):
            entries = (entry.split(b" ") for entry in listed.stdout.split(b"\0")[:-1])
            name = os.fsencode(folder.relative_to(tree)).decode(errors="backslashreplace")
            found[name] = {one[1].decode() for one in entries if one[0] != b"160000"}
    return found


class Kept:
    """What a bundle gives to who has nothing but the mirror."""

    def __init__(self, folder: Path, base: Base, bundle: bytes) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        git(folder.parent, "init", "--quiet", "--bare", str(folder))
        (folder / "objects/info/alternates").write_text(f"{base.mirror / 'objects'}\n")
        (folder / "bundle").write_bytes(bundle)
        git(folder, "fetch", "--quiet", "bundle", "refs/orchestrator/*:refs/kept/*")
        refs = git(folder, "for-each-ref", "--format=%(refname)").split()
        listed = git(folder, "rev-list", "--objects", "--no-object-names", *refs, base.commit)
        self.objects = set(listed.split())
        raw = subprocess.run(
            ("git", "ls-tree", "-r", "-z", "refs/kept/change"),
            cwd=folder, capture_output=True, check=True,
        ).stdout  # fmt: skip
        entries = (entry.partition(b"\t") for entry in raw.split(b"\0") if entry)
        self.tree = {
            path.decode(errors="backslashreplace"): meta.decode().split()[2]
            for meta, _, path in entries
        }


def is_named(path: str, left_out: Mapping[str, list[str]]) -> bool:
    return any(
        path == named or path.startswith(f"{named}/") or named == "."
        for paths in left_out.values()
        for named in paths
    )


def converted(data: bytes) -> set[str]:
    """Return what line ends and `ident` may make of a content."""
    return {blob_id(data), blob_id(data.replace(b"\r\n", b"\n"))}


def mixed(path: str) -> bool:
    """Whether the base's attributes convert it, so that its lines may be stored in other ways."""
    return path.endswith((".txt", ".crlf")) or (path.startswith("src/") and path.endswith(".py"))


def check(host: Host, base: Base, workspace: Workspace, agent: RandomAgent, scratch: Path) -> None:
    tree = workspace.worktree
    blobs = reachable(tree, base.commit)
    indexes = staged(tree)
    command = capture_command(workspace, base, most_paths=100_000)
    ended = subprocess.run(
        command.argv,
        cwd=workspace.root,
        env={**os.environ, "HOME": str(workspace.home), **command.env},
        capture_output=True,
        check=False,
    )
    found = standing(tree)
    if ended.returncode == 71:
        assert not (tree / ".git").is_dir(), ended.stderr
        # Then the tree is the base's; what stands there besides is named nowhere, as in no bundle.
        return
    assert ended.returncode in (0, 72), ended.stderr.decode()
    said = json.loads(ended.stdout)
    left_out = {one["reason"]: one["paths"] for one in said["leftOut"]}
    if ended.returncode == 72:
        kept_tree = {path: blob_id(data) for path, data in FILES.items()}
        kept_objects = set(kept_tree.values())
    else:
        bundle = read_bundle(workspace, 2**26)
        kept = Kept(scratch, base, bundle)
        kept_objects, kept_tree = kept.objects, kept.tree
        heads = read_heads(bundle)
        assert {one["ref"] for one in said["retained"]} == {one.name for one in heads.beside}
        assert read_report(ended.stdout).is_changed is said["isChanged"]
        with host.candidates.received(base, bundle, "a1", 1, may_be_empty=True) as candidate:
            assert candidate.commit == heads.change
    for path, data in found.items():
        if is_named(path, left_out):
            continue
        if path in kept_tree:
            if mixed(path):
                continue
            assert kept_tree[path] in converted(data), path
        else:
            assert converted(data) & kept_objects, f"{path} is lost"
    if not any(reason.startswith(OF_COMMITS) for reason in left_out):
        assert blobs <= kept_objects, blobs - kept_objects
        # A nested repository is left out of the change, and its work is retained beside it.
        named = {why: paths for why, paths in left_out.items() if why != "nested repository"}
        for folder, found_blobs in indexes.items():
            if not is_named(folder, named):
                assert found_blobs <= kept_objects, (folder, found_blobs - kept_objects)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    """An upstream with files of every kind."""
    folder = tmp_path_factory.mktemp("seeded")
    made = Upstream(folder / "upstream.git", folder / "people")
    git(folder, "init", "--quiet", "--bare", "-b", "main", made.url)
    git(folder, "init", "--quiet", "-b", "main", str(made.clone))
    git(made.clone, "remote", "add", "origin", made.url)
    # The attributes come last: what they would convert stands in the base as it was.
    for path, data in sorted(FILES.items(), key=lambda item: item[0] == ".gitattributes"):
        (made.clone / path).parent.mkdir(parents=True, exist_ok=True)
        (made.clone / path).write_bytes(data)
        git(made.clone, "add", "-f", path)
    git(made.clone, "commit", "--quiet", "-m", "files")
    git(made.clone, "push", "--quiet", "origin", "main")
    return made


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_every_byte_is_captured_or_kept_or_named(
    make_host: Callable[..., Host], seeded: Upstream, tmp_path: Path, portion: int
) -> None:
    host = make_host()
    base = host.mirrors.refresh(seeded.url, "main")
    for seed in range(SEED + portion, SEED + RUNS, PORTIONS):
        workspace = host.workspaces.create(base, "a1")
        agent = RandomAgent(seed, workspace.worktree, workspace.home)
        agent.play()
        try:
            check(host, base, workspace, agent, tmp_path / "kept.git")
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed goes with it
            pytest.fail(f"CAPTURE_SEED={seed}: {error!r}\n" + "\n".join(agent.said))
        host.workspaces.remove("a1")
