"""One agent against another: shared worktrees let it through, clones of a closed mirror do not."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.sandboxes.process import build
from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import Host, Upstream, git

from .conftest import (
    ANOTHER_USER,
    LIMIT_BYTES,
    Traps,
    captured,
    copy_of,
    delivered,
    files_of,
    give_to_another_user,
    naive,
    sandboxed_capture,
    weakest_sandbox,
)


def _as_agent(
    host: Host, workspace: Workspace, script: str, *prefix: str, sandbox: Sandbox | None = None
) -> int:
    """Run a script as agent `a1`, in the weakest sandbox or this one; returns its exit code."""
    spec = ProcessSpec(
        agent_id="a1",
        argv=(*prefix, "sh", "-c", script),
        env={"PATH": os.environ["PATH"], "HOME": str(workspace.home)},
        cwd=workspace.worktree,
        root=workspace.root,
        readable=(host.settings.home / "mirrors",),
    )
    chosen = sandbox or weakest_sandbox(host)
    return run_to_end(chosen, spec, timeout_s=240, output_limit_bytes=65_536).exit_code


# ── from one tree into another ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Harm:
    """What agent A runs in its own tree, and how it shows in B's; `{trap}` is a hooks folder."""

    script: str

    def shows(self, tree: Path, base: Base, traps: Traps) -> bool:
        """Return whether B's tree is no longer as it was, or runs what A planted."""
        made = naive(tree, "commit", "--quiet", "--allow-empty", "-m", "B's own")
        is_on_base = naive(tree, "rev-parse", "HEAD~1").stdout.strip() == base.commit
        return made.returncode != 0 or not is_on_base or bool(traps.sprung())


HARMS = {
    "moves its branch": Harm(
        "git commit -q --allow-empty -m mine && git update-ref refs/heads/agent/b1 HEAD"
    ),
    "sets hooks for all": Harm("git config core.hooksPath {trap}"),
    "destroys the objects": Harm('rm -rf "$(git rev-parse --git-common-dir)/objects"'),
    "removes its tree": Harm("git worktree remove --force b1"),
    "corrupts the configuration": Harm('echo [ >> "$(git rev-parse --git-common-dir)/config"'),
}


@pytest.mark.parametrize("name", HARMS)
def test_what_an_agent_does_to_its_repository_reaches_another_s_worktree_and_not_its_clone(
    host: Host, base: Base, traps: Traps, tmp_path: Path, name: str
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-commit").symlink_to(traps.program("hook"))
    script = HARMS[name].script.format(trap=hooks)
    shared = copy_of(base.mirror, tmp_path / "shared.git")
    for agent_id in ("a1", "b1"):
        branch = f"agent/{agent_id}"
        git(shared, "worktree", "add", "-q", "-b", branch, f"../trees/{agent_id}", base.commit)
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ORCH_AGENT_ID": "a1"}
    env |= {f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")}
    env |= {f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")}
    subprocess.run(("sh", "-c", script), cwd=tmp_path / "trees/a1", env=env, check=True)
    victim = tmp_path / "trees/b1"
    assert not victim.exists() or HARMS[name].shows(victim, base, traps)
    traps.reset()
    own, other = (host.workspaces.create(base, agent_id) for agent_id in ("a1", "b1"))
    _as_agent(host, own, script)
    assert not HARMS[name].shows(other.worktree, base, traps)
    assert host.mirrors.read(base, "README.md") == b"hello\n"


def test_a_pointer_to_another_s_repository_moves_its_branch_naively_and_not_in_ours(
    host: Host, upstream: Upstream, base: Base, tmp_path: Path
) -> None:
    """What is committed for B lands on A's branch; ours commits in a repository of its own."""
    shared = copy_of(base.mirror, tmp_path / "shared.git")
    for agent_id in ("a1", "b1"):
        branch = f"agent/{agent_id}"
        git(shared, "worktree", "add", "-q", "-b", branch, f"../trees/{agent_id}", base.commit)
    (tmp_path / "trees/b1/.git").write_bytes((tmp_path / "trees/a1/.git").read_bytes())
    naive(tmp_path / "trees/b1", "commit", "--quiet", "--allow-empty", "-m", "for B")
    assert git(shared, "log", "-1", "--format=%s", "agent/a1") == "for B"
    assert git(shared, "rev-parse", "agent/b1") == base.commit
    own, other = (host.workspaces.create(base, agent_id) for agent_id in ("a1", "b1"))
    (own.worktree / "of-a").touch()
    (other.worktree / "of-b").touch()
    before = git(own.worktree, "rev-parse", "HEAD")
    (other.worktree / ".git").rename(other.root / "aside")
    (other.worktree / ".git").write_text(f"gitdir: {own.worktree / '.git'}\n")
    bundle = captured(host, base, other, "b1")
    assert git(own.worktree, "rev-parse", "HEAD") == before
    commit = delivered(host, upstream, base, bundle)
    assert set(files_of(upstream.path, commit)) == {".gitignore", "README.md", "of-b"}


# ── the mirror ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf {mirror}/objects",
        "git --git-dir={mirror} config core.hooksPath /tmp",
        "git --git-dir={mirror} update-ref refs/heads/planted {commit}",
        "git -c safe.directory={mirror} push -q {mirror} {commit}:refs/heads/planted",
        "chmod -R u+w {mirror} && touch {mirror}/planted",
    ],
)
def test_a_mirror_is_open_to_its_own_user_and_closed_to_another(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path, script: str
) -> None:
    """Why the agent gets a user of its own where the host allows; its own commits and gc work."""
    before = _fingerprint(base.mirror)
    victim = copy_of(base.mirror, tmp_path / "victim.git")
    _as_agent(host, workspace, script.format(mirror=victim, commit=base.commit))
    assert _fingerprint(victim) != before
    give_to_another_user(workspace)
    attack = script.format(mirror=base.mirror, commit=base.commit)
    assert _as_agent(host, workspace, attack, *ANOTHER_USER) != 0
    assert _fingerprint(base.mirror) == before
    work = "echo x > new && git add new && git commit -qm own && git gc -q --prune=now && git fsck"
    assert _as_agent(host, workspace, work, *ANOTHER_USER) == 0


@pytest.fixture
def confining(host: Host) -> Sandbox:
    """The process sandbox at the level that confines."""
    try:
        return build(host.settings.model_copy(update={"process_level": "bubblewrap"}))
    except SettingsInvalid as lack:
        pytest.skip(str(lack))


def test_confined_an_agent_of_the_same_user_can_neither_harm_the_mirror_nor_see_another(
    host: Host, base: Base, workspace: Workspace, confining: Sandbox
) -> None:
    """What the weakest sandbox lets through: the mirror is read-only, all other clones absent."""
    other = host.workspaces.create(base, "b1")
    (other.worktree / "of-b").write_text("b")
    before = _fingerprint(base.mirror) | _fingerprint(other.root)
    seen = workspace.worktree / "seen"
    for attack in (
        f"rm -rf {base.mirror}/objects/*",
        f"git --git-dir={base.mirror} config core.hooksPath /tmp",
        f"git -c safe.directory={base.mirror} push -q {base.mirror} HEAD:refs/heads/planted",
        f"chmod -R u+w {base.mirror} && touch {base.mirror}/planted",
        f"cat {other.worktree}/of-b > {seen}",
        f"ls {host.settings.workspaces_dir} > {seen}; grep b1 {seen}",
        f"rm -r {other.root}",
    ):
        assert _as_agent(host, workspace, attack, sandbox=confining) != 0, attack
    assert _fingerprint(base.mirror) | _fingerprint(other.root) == before
    work = "echo x > new && git add new && git commit -qm own && git gc -q --prune=now && git fsck"
    assert _as_agent(host, workspace, work, sandbox=confining) == 0


def _fingerprint(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_pruning_breaks_live_clones_naively_and_ours_never_prunes(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    """Even where the mirror's configuration asks for it at every fetch."""
    eager = {
        "gc.auto": "1",
        "gc.autoPackLimit": "1",
        "gc.autoDetach": "false",
        "gc.pruneExpire": "now",
        "fetch.unpackLimit": "1",
        "fetch.prune": "true",
        "maintenance.auto": "true",
    }
    doomed = upstream.commit(doomed="x")
    mirror, clone = tmp_path / "naive.git", tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--mirror", upstream.url, str(mirror))
    git(tmp_path, "clone", "--quiet", "--shared", str(mirror), str(clone))
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    for each in (mirror, base.mirror):
        for key, value in eager.items():
            git(each, "config", key, value)
    for _ in range(2):
        git(upstream.clone, "reset", "--quiet", "--hard", "HEAD~1")
        git(upstream.clone, "commit", "--quiet", "--allow-empty", "-m", "other")
        upstream.commit()
        naive(mirror, "fetch", "--quiet")
        host.mirrors.refresh(upstream.url, "main")
    assert naive(clone, "cat-file", "-e", doomed).returncode != 0
    git(workspace.worktree, "cat-file", "-e", doomed)
    git(workspace.worktree, "fsck", "--strict")
    (workspace.worktree / "new").touch()
    delivered(host, upstream, base, captured(host, base, workspace))


# ── another's private repository ────────────────────────────────────────────────────────────


def test_alternates_reach_a_private_repository_through_a_naive_fetch_and_no_bundle(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    git(private, "init", "--quiet")
    (private / "secret").write_text("secret")
    git(private, "add", "-A")
    git(private, "commit", "--quiet", "-m", "secret")
    loot = git(private, "rev-parse", "HEAD")
    git_dir = workspace.worktree / ".git"
    with (git_dir / "objects/info/alternates").open("a") as alternates:
        alternates.write(f"{private / '.git/objects'}\n")
    for ref in ("refs/heads/loot", "refs/heads/agent/a1"):
        (git_dir / ref).write_text(f"{loot}\n")
    git(tmp_path, "init", "--quiet", "--bare", "ours.git")
    naive(tmp_path / "ours.git", "fetch", str(workspace.worktree), "loot:loot")
    assert git(tmp_path / "ours.git", "cat-file", "blob", "loot:secret") == "secret"
    give_to_another_user(workspace)
    (workspace.worktree / "new").write_text("x")
    ended = sandboxed_capture(host, base, workspace, *ANOTHER_USER)
    assert ended.exit_code == 0, ended.stderr
    bundle = read_bundle(workspace, LIMIT_BYTES)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        assert host.git.attempt("cat-file", "-e", loot, git_dir=candidate.git_dir).exit_code != 0
    commit = delivered(host, upstream, base, bundle)
    assert set(files_of(upstream.path, commit)) == {".gitignore", "README.md", "new"}


def test_of_what_an_agent_can_read_only_its_own_tree_leaves(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    """Of the same user, it may commit on top of anything: a push of its branch would show it."""
    git(tmp_path, "init", "--quiet", "private")
    private = tmp_path / "private"
    (private / "secret").write_text("secret")
    git(private, "add", "-A")
    git(private, "commit", "--quiet", "-m", "secret")
    loot = git(private, "rev-parse", "HEAD")
    git_dir = workspace.worktree / ".git"
    with (git_dir / "objects/info/alternates").open("a") as alternates:
        alternates.write(f"{private / '.git/objects'}\n")
    (git_dir / "refs/heads/agent/a1").write_text(f"{loot}\n")
    naive(workspace.worktree, "push", upstream.url, "HEAD:refs/heads/naive")
    assert git(upstream.path, "cat-file", "blob", "naive:secret") == "secret"
    git(upstream.path, "update-ref", "-d", "refs/heads/naive")
    git(upstream.path, "gc", "--quiet", "--prune=now")
    (workspace.worktree / "new").write_text("x")
    delivered(host, upstream, base, captured(host, base, workspace))
    assert naive(upstream.path, "cat-file", "-e", loot).returncode != 0
