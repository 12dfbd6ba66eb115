"""The stored environments: locks, the quota, and what a killed set-up leaves."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from orchestrator.environments.cache import EnvironmentCache, Manifest
from orchestrator.errors import DiskFull
from orchestrator.interfaces.environment import Environment


@pytest.fixture
def cache(tmp_path) -> EnvironmentCache:
    (tmp_path / "e").mkdir()
    return EnvironmentCache(tmp_path / "e", 100)


def made(cache: EnvironmentCache, digest: str, size_bytes: int, used_at: float) -> None:
    root = cache.root(digest)
    root.mkdir()
    environment = Environment(root=root, products=("p",))
    cache.record(digest, Manifest(environment=environment, size_bytes=size_bytes, setup_s=1))
    os.utime(root.with_name(f"{digest}.json"), (used_at, used_at))


def test_without_its_manifest_an_environment_does_not_exist(cache):
    cache.root("half").mkdir()
    assert cache.ready("half") is None
    cache.trim()
    assert not cache.root("half").exists()


def test_a_damaged_manifest_counts_as_none(cache):
    made(cache, "a", 1, 1)
    cache.root("a").with_name("a.json").write_text("{")
    assert cache.ready("a") is None


def test_an_environment_exists_when_the_disk_has_its_files_and_not_before(
    cache, tmp_path, monkeypatch
):
    """Else a power failure leaves a manifest beside modules without content."""
    seen = []

    def synced(folder):
        seen.append((folder, cache.ready("a")))
        raise DiskFull

    monkeypatch.setattr("orchestrator.environments.cache.sync_file_system", synced)
    with pytest.raises(DiskFull):
        made(cache, "a", 1, 1)
    assert seen == [(tmp_path / "e", None)]
    assert cache.ready("a") is None


def test_beyond_the_quota_the_one_unused_for_longest_goes_first(cache):
    made(cache, "old", 60, 1)
    made(cache, "new", 60, 2)
    cache.trim()
    assert cache.ready("old") is None
    assert cache.ready("new") is not None
    # The workspaces that were made from it may still exist.
    assert cache.manifest("old").environment.products == ("p",)


def test_an_environment_in_use_is_not_removed(cache):
    made(cache, "old", 60, 1)
    made(cache, "new", 60, 2)
    with cache.locked("old", is_exclusive=False, check=None) as is_locked:
        assert is_locked
        cache.trim()
    assert cache.ready("old") is not None
    assert cache.ready("new") is None


def test_users_share_a_lock_and_a_set_up_excludes_them(cache):
    with ExitStack() as stack:
        for _ in range(2):
            lock = cache.locked("a", is_exclusive=False, check=None)
            assert stack.enter_context(lock)
        with cache.locked("a", is_exclusive=True, check=None) as is_locked:
            assert not is_locked


def test_a_wait_for_a_set_up_ends_with_the_attempt(cache):
    def check() -> None:
        raise InterruptedError

    with cache.locked("a", is_exclusive=True, check=None), pytest.raises(InterruptedError):  # noqa: SIM117
        with cache.locked("a", is_exclusive=False, check=check):
            pass


def test_what_is_cleared_for_a_set_up_has_no_manifest_either(cache):
    made(cache, "a", 1, 1)
    cache.clear("a")
    assert cache.manifest("a") is None
    assert not cache.root("a").exists()
