"""Fetches at once and fetches killed: a naive mirror loses some or stays shut, ours does not."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.unit.workspace.conftest import Host, Upstream, git

from .conftest import PLAIN, naive

AT_ONCE = 20
ROUNDS = 15


def _fetch_at_once(mirror: Path, upstream: Upstream) -> int:
    """Fetch the moved branch with many gits at once; returns how many failed."""
    refspec = "+refs/heads/main:refs/heads/main"
    command = ("git", "fetch", "--quiet", upstream.url, refspec)
    running = [
        subprocess.Popen(command, cwd=mirror, env=PLAIN, stderr=subprocess.DEVNULL)
        for _ in range(AT_ONCE)
    ]
    return sum(process.wait() != 0 for process in running)


def test_twenty_fetches_at_once_fail_on_ref_locks_naively_and_never_in_ours(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    """Of a cold mirror of ours, and of one whose branch has moved."""
    mirror = tmp_path / "naive.git"
    git(tmp_path, "clone", "--quiet", "--bare", upstream.url, str(mirror))
    for _ in range(ROUNDS):
        upstream.commit()
        if _fetch_at_once(mirror, upstream):
            break
    else:
        msg = "the attack does not bite: no naive fetch failed"
        raise AssertionError(msg)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(2):
            commit = upstream.commit()
            tips = pool.map(
                lambda _: host.mirrors.refresh(upstream.url, "main").commit, range(AT_ONCE)
            )
            assert set(tips) == {commit}


def _kill_while_it_holds(repository: Path, ref: str) -> None:
    """Kill -9 a git that has locked this ref, and has said so."""
    with subprocess.Popen(
        ("git", "update-ref", "--stdin"),
        cwd=repository,
        env=PLAIN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"start\nupdate {ref} {ref}\nprepare\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"start: ok\n"
        assert process.stdout.readline() == b"prepare: ok\n"
        os.kill(process.pid, signal.SIGKILL)


def test_a_lock_left_by_kill_9_shuts_a_naive_mirror_for_ever_and_ours_opens_again(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    mirror = tmp_path / "naive.git"
    git(tmp_path, "clone", "--quiet", "--bare", upstream.url, str(mirror))
    _kill_while_it_holds(mirror, "refs/heads/main")
    base = host.mirrors.refresh(upstream.url, "main")
    (ours,) = git(base.mirror, "for-each-ref", "--format=%(refname)").splitlines()
    _kill_while_it_holds(base.mirror, ours)
    moved = upstream.commit()
    fetch = ("fetch", "--quiet", upstream.url, "+refs/heads/main:refs/heads/main")
    for _ in range(2):
        assert "main.lock': File exists" in naive(mirror, *fetch).stderr
    assert host.mirrors.refresh(upstream.url, "main").commit == moved
