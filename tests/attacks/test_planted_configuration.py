"""What an agent plants in its repository runs in a git that trusts it, and never in ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.errors import ChangeRefused
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import Host, Upstream, git

from .conftest import Traps, WebServer, captured, copy_of, delivered, files_of, naive

UPSTREAM = "<upstream>"
HOOKS = (
    *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-index-change"),
    *("reference-transaction", "post-checkout", "post-merge", "pre-push", "pre-rebase"),
    *("post-rewrite", "pre-auto-gc", "push-to-checkout"),
)


def _fsmonitor(tree: Path, traps: Traps) -> None:
    git(tree, "config", "core.fsmonitor", traps.arm("fsmonitor"))


def _clean_filter(tree: Path, traps: Traps) -> None:
    (tree / ".gitattributes").write_text("* filter=planted\n")
    git(tree, "config", "filter.planted.clean", f"{traps.arm('clean')}; cat")


def _smudge_filter(tree: Path, traps: Traps) -> None:
    (tree / ".gitattributes").write_text("* filter=planted\n")
    git(tree, "config", "filter.planted.smudge", f"{traps.arm('smudge')}; cat")


def _textconv(tree: Path, traps: Traps) -> None:
    (tree / ".gitattributes").write_text("* diff=planted\n")
    git(tree, "config", "diff.planted.textconv", traps.program("textconv", 'cat "$1"'))


def _external_diff(tree: Path, traps: Traps) -> None:
    git(tree, "config", "diff.external", traps.program("diff"))


def _merge_driver(tree: Path, traps: Traps) -> None:
    (tree / ".gitattributes").write_text("* merge=planted\n")
    git(tree, "config", "merge.planted.driver", f"{traps.arm('merge')}; false")
    _diverge(tree)


def _diverge(tree: Path) -> None:
    """Leave README.md changed in one way on `other`, in another on the agent's own branch."""
    own = git(tree, "symbolic-ref", "--short", "HEAD")
    for branch, options in (("other", ("-b",)), (own, ())):
        git(tree, "checkout", "--quiet", *options, branch)
        (tree / "README.md").write_text(f"hello from {branch}\n")
        git(tree, "add", "README.md")
        git(tree, "commit", "--quiet", "-m", branch)


def _hooks(tree: Path, traps: Traps) -> None:
    folder = tree / ".git/hooks"
    folder.mkdir(exist_ok=True)
    for hook in HOOKS:
        (folder / hook).write_text(f"#!/bin/sh\n{traps.arm(hook)}\n")
        (folder / hook).chmod(0o755)


def _hooks_elsewhere(tree: Path, traps: Traps) -> None:
    _hooks(tree, traps)
    (tree / ".git/hooks").rename(tree / "tools")
    git(tree, "config", "core.hooksPath", "tools")


def _signing_program(tree: Path, traps: Traps) -> None:
    git(tree, "config", "commit.gpgSign", "true")
    git(tree, "config", "gpg.program", traps.program("gpg", "false"))


def _editor(tree: Path, traps: Traps) -> None:
    git(tree, "config", "core.editor", traps.program("editor", "false"))


def _alternate_refs(tree: Path, traps: Traps) -> None:
    git(tree, "config", "core.alternateRefsCommand", traps.program("alternates"))


@dataclass(frozen=True)
class Planted:
    """What an agent plants, and the traps it springs in each of these git calls."""

    plant: Callable[[Path, Traps], None]
    calls: Mapping[str, set[str]]
    #: What the capture, which is the agent's own, springs too.
    inside: frozenset[str] = frozenset()


def _each(trap: str, *calls: str) -> dict[str, set[str]]:
    return {call: {trap} for call in calls}


COMMIT = "commit --quiet --no-verify -a -m x"
FETCH = f"fetch --quiet {UPSTREAM} +refs/heads/main:refs/heads/fetched"
MERGES = (
    *("merge other", "rebase other", "cherry-pick other"),
    "merge-tree --write-tree HEAD other",
)
PLANTED = (
    Planted(
        _fsmonitor,
        _each(
            "fsmonitor",
            *("status", "add -A", "diff", COMMIT, "checkout HEAD~0", "stash"),
            f"fetch {UPSTREAM}",
        ),
    ),
    Planted(_clean_filter, _each("clean", "add -A", "diff", COMMIT)),
    Planted(_smudge_filter, _each("smudge", "checkout -- README.md", "reset --hard", "stash")),
    Planted(_textconv, _each("textconv", "diff", "log -p", "show HEAD", "blame README.md")),
    Planted(_external_diff, _each("diff", "diff")),
    Planted(_merge_driver, _each("merge", *MERGES)),
    Planted(
        _hooks,
        {
            "status": {"post-index-change"},
            "add -A": {"post-index-change"},
            COMMIT: {"prepare-commit-msg", "post-commit", "reference-transaction"},
            FETCH: {"reference-transaction"},
            "update-ref refs/heads/x HEAD": {"reference-transaction"},
            "push --no-verify . HEAD:refs/heads/x": {"reference-transaction"},
        },
    ),
    Planted(_hooks_elsewhere, {COMMIT: {"prepare-commit-msg", "post-commit"}}),
    Planted(_signing_program, _each("gpg", COMMIT)),
    Planted(_editor, _each("editor", "commit --quiet -a")),
    Planted(_alternate_refs, _each("alternates", f"fetch {UPSTREAM}")),
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.plant.__name__.lstrip("_"))
def test_planted_programs_run_in_a_naive_git_and_not_in_ours(
    host: Host,
    upstream: Upstream,
    base: Base,
    workspace: Workspace,
    traps: Traps,
    tmp_path: Path,
    planted: Planted,
) -> None:
    tree = workspace.worktree
    planted.plant(tree, traps)
    (tree / "README.md").write_text("hello, changed\n")
    upstream.commit(more="x")
    for call, expected in planted.calls.items():
        victim = copy_of(tree, tmp_path / "victim")
        if call in MERGES:
            naive(victim, "checkout", "--quiet", "--", "README.md")
        traps.reset()
        naive(victim, *(upstream.url if word == UPSTREAM else word for word in call.split()))
        assert expected <= traps.sprung(), f"the attack does not bite in git {call}"
    traps.reset()
    commit = delivered(host, upstream, base, captured(host, base, workspace))
    assert not traps.sprung()
    assert traps.sprung_inside() == planted.inside
    assert files_of(upstream.path, commit)["README.md"] == "hello, changed"


def test_ours_reads_and_checks_out_a_base_full_of_attributes_and_runs_nothing(
    make_host: Callable[..., Host], upstream: Upstream, traps: Traps, tmp_path: Path
) -> None:
    """Even where the worker's own user has filters and an fsmonitor of these names."""
    host = make_host("stored", ORCHESTRATOR_STORED_FILTERS="planted")
    assert host.settings.host_env["HOME"] == str(tmp_path)
    (tmp_path / ".gitconfig").write_text(
        f"[core]\n\tfsmonitor = {traps.arm('fsmonitor')}\n"
        f'[filter "planted"]\n\tclean = "{traps.arm("clean")}; cat"\n'
        f'\tsmudge = "{traps.arm("smudge")}; cat"\n'
        f'[diff "planted"]\n\ttextconv = {traps.program("textconv", "cat $1")}\n'
    )
    attributes = "* filter=planted diff=planted\n"
    upstream.commit(**{".gitattributes": attributes, "pyproject.toml": "x\n"})
    naive(tmp_path, "clone", "--quiet", upstream.url, "victim", HOME=str(tmp_path))
    naive(tmp_path / "victim", "show", HOME=str(tmp_path))
    assert {"smudge", "textconv"} <= traps.sprung()
    traps.reset()
    base = host.mirrors.refresh(upstream.url, "main")
    assert host.mirrors.read(base, "pyproject.toml") == b"x\n"
    workspace = host.workspaces.create(base, "a1")
    assert (workspace.worktree / "pyproject.toml").read_bytes() == b"x\n"
    (workspace.worktree / "new").write_text("x")
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not traps.sprung()


def test_a_moved_worktree_commits_the_host_s_files_naively_and_its_own_in_ours(
    host: Host,
    upstream: Upstream,
    base: Base,
    workspace: Workspace,
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private").write_text("private")
    git(workspace.worktree, "config", "core.worktree", str(outside))
    (workspace.worktree / "mine").write_text("x")
    victim = copy_of(workspace.worktree, tmp_path / "victim")
    naive(victim, "add", "-A")
    assert "private" in naive(victim, "ls-files").stdout
    commit = delivered(host, upstream, base, captured(host, base, workspace))
    assert files_of(upstream.path, commit) == {
        ".gitignore": "build/",
        "README.md": "hello",
        "mine": "x",
    }


def test_a_planted_credential_helper_is_told_the_password_naively_and_nothing_by_ours(
    host: Host, workspace: Workspace, web: WebServer, tmp_path: Path
) -> None:
    """Ours never runs here; if it did, its list of helpers would still be its own."""
    stolen = tmp_path / "stolen"
    git(workspace.worktree, "config", "credential.helper", f"!cat >> {stolen}; true")
    answer = tmp_path / "answer"
    answer.write_text("#!/bin/sh\necho s3cret\n")
    answer.chmod(0o755)
    naive(workspace.worktree, "push", f"{web.url}/x.git", "HEAD:x", GIT_ASKPASS=str(answer))
    assert "password=s3cret" in stolen.read_text()
    stolen.unlink()
    known = b"protocol=https\nhost=127.0.0.1\nusername=me\npassword=s3cret\n\n"
    for word in ("approve", "fill"):
        host.git.attempt("credential", word, git_dir=workspace.worktree / ".git", stdin=known)
    assert not stolen.exists()


def test_a_nested_repository_s_programs_run_even_under_a_git_dir_of_ones_own(
    host: Host, base: Base, workspace: Workspace, traps: Traps, tmp_path: Path
) -> None:
    """Naively with every switch there is; ours stages in the sandbox, and refuses the gitlink."""
    nested = workspace.worktree / "vendor"
    nested.mkdir()
    git(nested, "init", "--quiet")
    (nested / ".gitattributes").write_text("* filter=planted\n")
    (nested / "file").write_text("1")
    git(nested, "add", "-A")
    git(nested, "commit", "--quiet", "-m", "nested")
    (nested / "file").write_text("2")
    git(nested, "config", "filter.planted.clean", f"{traps.arm('clean')}; cat")
    own = tmp_path / "own.git"
    git(tmp_path, "init", "--quiet", "--bare", str(own))
    safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    env = {"GIT_DIR": str(own), "GIT_WORK_TREE": str(workspace.worktree)}
    for call in ("add -A", "status"):
        naive(workspace.worktree, *safe, *call.split(), **env)
    assert traps.sprung() == {"clean"}
    traps.reset()
    (workspace.worktree / "new").touch()
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        assert "vendor" not in files_of(candidate.git_dir, candidate.commit)
    # Nor is one taken that no capture of ours makes.
    git(workspace.worktree, "add", "vendor")
    git(workspace.worktree, "commit", "--quiet", "-m", "a gitlink")
    git(workspace.worktree, "update-ref", "refs/orchestrator/change", "HEAD")
    made = ("bundle", "create", "--quiet", "../made", "refs/orchestrator/change", f"^{base.commit}")
    git(workspace.worktree, *made)
    bundle = (workspace.root / "made").read_bytes()
    with (
        pytest.raises(ChangeRefused, match="submodule at vendor"),
        host.candidates.received(base, bundle, "a1", 1),
    ):
        pass
    with pytest.raises(ChangeRefused, match="submodule at vendor"):
        host.workspaces.create(base, "a2", change=bundle)
    host.workspaces.remove("a1")
    assert not traps.sprung()


def test_an_attribute_hides_a_change_from_a_naive_diff_and_not_from_ours(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / ".gitattributes").write_text("* -diff\n")
    (workspace.worktree / "README.md").write_text("not what you think\n")
    assert "not what" not in naive(workspace.worktree, "diff").stdout
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        assert "+not what you think" in host.candidates.patch(candidate, base)
