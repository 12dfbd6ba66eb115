"""A change is pushed once, fenced, to the remote that is named."""

from __future__ import annotations

import secrets
import subprocess

import redis

from orchestrator.models import Status
from orchestrator.store import changes
from tests.doubles.git_http import git_server
from tests.integration.conftest import git
from tests.integration.delivery.lab import branches, orch, write


def test_a_refused_push_is_not_tried_again(lab, remote, tmp_path):
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\nexit 1\n")
    hook.chmod(0o755)
    agent = lab().play(remote, write("new.py", "NEW = 1\n"))
    assert (agent.status, agent.error_code) == (Status.FAILED, "push_refused")
    assert (tmp_path / "asked").read_text() == "x\n"


def test_what_an_older_attempt_pushed_after_its_end_gives_way(lab, remote):
    """A worker that slept through its lease may still push: its commit is known, and replaced."""
    one = lab()
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    agent = one.work(agent_id)
    stale = git("commit-tree", "main^{tree}", "-p", "main", "-m", "stale", cwd=remote)
    one.services.runner.holder.update(agent, {"pushing": stale})
    git("update-ref", f"refs/heads/agent/{agent_id}", stale, cwd=remote)
    ended = one.evaluate(agent_id)
    assert ended.status is Status.COMPLETED, ended.error
    assert git("rev-parse", f"agent/{agent_id}", cwd=remote) == ended.commit != stale


def test_kept_work_stands_nowhere_but_here(lab, remote):
    one = lab(ORCHESTRATOR_DELIVERY="keep")
    agent = one.play(remote, write("new.py", "NEW = 1\n"))
    assert (agent.status, agent.branch) == (Status.COMPLETED, None)
    assert agent.commit
    one.services.cleanup.run(agent.agent_id)
    one.store.follow(changes.newest_change(agent.agent_id, agent.attempt))
    assert branches(remote) == {"main"}


def test_branches_go_to_another_remote_if_one_is_named(lab, remote, tmp_path):
    forks = tmp_path / "forks"
    git("clone", "-q", "--bare", str(remote), str(forks / "remote.git"), cwd=tmp_path)
    one = lab(ORCHESTRATOR_PUSH_URL=f"{forks}/{{name}}.git")
    agent = one.play(remote, write("new.py", "NEW = 1\n"))
    assert agent.status is Status.COMPLETED, agent.error
    assert branches(remote) == {"main"}
    assert agent.branch in branches(forks / "remote.git")
    assert "+NEW = 1" in orch(one, "diff", agent.agent_id, cwd=tmp_path).stdout


def test_a_remote_that_takes_no_push_is_found_before_the_agent_starts(lab, remote):
    """A token that may only read; then the permission is granted."""
    git("config", "http.receivepack", "false", cwd=remote)
    with git_server(remote.parent, login="x-access-token:key") as server:
        one = lab(GIT_TOKEN="key", GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}")
        address = f"{server.url}/remote.git"
        refused = one.work(one.spawn(address, write("new.py", "NEW = 1\n")))
        assert (refused.status, refused.error_code) == (Status.FAILED, "push_refused")
        assert "403" in refused.error
        assert refused.started_at is None, "no token is spent"
        git("config", "http.receivepack", "true", cwd=remote)
        agent = one.play(address, write("new.py", "NEW = 1\n"))
        assert agent.status is Status.COMPLETED, agent.error
        before = len(server.paths)
        one.work(one.spawn(address, write("new.py", "NEW = 1\n")))
        assert not any("receive-pack" in path for path in server.paths[before:]), "remembered"


def test_a_file_that_takes_no_push_is_found_before_the_agent_starts(lab, remote, tmp_path):
    git("bundle", "create", str(tmp_path / "repository.bundle"), "main", cwd=remote)
    one = lab()
    agent = one.work(one.spawn(tmp_path / "repository.bundle", write("new.py", "NEW = 1\n")))
    assert (agent.status, agent.error_code) == (Status.FAILED, "push_refused")
    assert agent.started_at is None


def test_an_agent_starts_though_the_check_of_its_push_fails(lab, remote):
    with git_server(remote.parent, login="x-access-token:key") as server:
        one = lab(GIT_TOKEN="key", GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}")
        server.fail_pushes = 1
        agent = one.play(f"{server.url}/remote.git", write("new.py", "NEW = 1\n"))
    assert server.fail_pushes == 0
    assert agent.status is Status.COMPLETED, agent.error


def test_over_http_with_a_token_nothing_but_the_server_ever_sees_it(lab, remote, tmp_path):
    """Two failures of the network on the way; the token is in no file, state, log or event."""
    token = secrets.token_hex(20)
    git("config", "http.receivepack", "true", cwd=remote)
    with git_server(remote.parent, login=f"x-access-token:{token}") as server:
        one = lab(GIT_TOKEN=token, GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}")
        address = f"{server.url}/remote.git"
        look = "env > seen-env; cat /proc/[0-9]*/cmdline > seen || true"
        agent_id = one.spawn(address, {"run": look})
        one.work(agent_id)
        server.fail_pushes = 2
        agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert agent.branch in branches(remote)
    assert server.fail_pushes == 0
    held = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in held if token.encode() in path.read_bytes()] == []
    connection = redis.Redis.from_url(one.settings.valkey_url)
    kept = b"".join(connection.dump(key) for key in connection.scan_iter())
    assert token.encode() not in kept
    for name in ("seen-env", "seen"):
        seen = subprocess.run(
            ["git", "show", f"{agent.commit}:{name}"], cwd=remote, capture_output=True, check=True
        )
        assert seen.stdout
        assert token.encode() not in seen.stdout
