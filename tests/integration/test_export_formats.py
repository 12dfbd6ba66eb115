"""`orch export` says what a file contains, and refuses the suffix of another format."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from orchestrator.errors import GitFailed, StoreUnreachable
from tests.integration.ending import Fault, Host
from tests.integration.test_ends_keep_work import MADE
from tests.integration.test_unsaved_work_found import orch


@pytest.fixture
def without_bundle(host: Host) -> str:
    """An agent whose final capture and salvage failed."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("capture", GitFailed("fatal: no."), times=2))
    return agent_id


@pytest.fixture
def with_bundle(host: Host) -> str:
    """An agent whose bundle Valkey did not take."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("store", StoreUnreachable(), times=2))
    return agent_id


@pytest.fixture
def stored(host: Host) -> str:
    """A failed agent whose change is stored."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("mid run", GitFailed("injected")))
    return agent_id


@pytest.mark.parametrize(
    ("kind", "name", "contains"),
    [
        ("without_bundle", "x.bundle", "would contain an archive (tar, gzip), not a git bundle"),
        ("without_bundle", "X.PATCH", "would contain an archive (tar, gzip), not a patch"),
        ("with_bundle", "x.tar.gz", "would contain a git bundle, not an archive"),
        ("stored", "x.tgz", "would contain a git bundle, not an archive"),
        ("stored", "x.diff", "would contain a git bundle, not a patch"),
    ],
)
def test_the_suffix_of_another_format_is_refused(
    host: Host,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    kind: str,
    name: str,
    contains: str,
) -> None:
    agent_id = request.getfixturevalue(kind)
    ended = orch(host, tmp_path, "export", agent_id, "-o", name)
    assert ended.returncode == 2
    assert contains in ended.stderr
    assert "Nothing was written." in ended.stderr
    assert not (tmp_path / name).exists()


def test_a_patch_is_not_written_as_a_bundle(host: Host, stored: str, tmp_path: Path) -> None:
    ended = orch(host, tmp_path, "export", stored, "--patch", "-o", "x.bundle")
    assert ended.returncode == 2
    assert "would contain a patch, not a git bundle" in ended.stderr


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "work", "my.bundle.d"])
def test_an_archive_under_another_name_says_how_to_unpack_it(
    host: Host, without_bundle: str, tmp_path: Path, name: str
) -> None:
    ended = orch(host, tmp_path, "export", without_bundle, "-o", name)
    assert ended.returncode == 0, ended.stderr
    assert "no bundle could be made of it; unpack it with `tar -xzf`" in ended.stderr
    with tarfile.open(tmp_path / name) as archive:
        assert "workspace/tree/made.txt" in archive.getnames()
