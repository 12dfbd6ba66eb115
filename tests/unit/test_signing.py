"""One key signs for the whole system: given, or made once and kept to its owner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import load_settings
from orchestrator.signing import signing_key


def settings(home, **more):
    return load_settings({"ORCHESTRATOR_HOME": str(home), **more})


def test_a_key_is_made_once_whoever_asks_first_and_only_its_owner_reads_it(tmp_path):
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: signing_key(settings(home), "audit"), range(32)))
    assert len(keys) == 1
    assert [path.name for path in home.iterdir()] == ["signing.key"]
    assert (home / "signing.key").stat().st_mode & 0o777 == 0o600


def test_each_purpose_has_a_key_of_its_own(tmp_path):
    given = settings(tmp_path, ORCHESTRATOR_SIGNING_KEY="k" * 40)
    assert signing_key(given, "audit") != signing_key(given, "fingerprints")
    assert not (tmp_path / "signing.key").exists()


def test_a_broken_key_is_told_and_never_replaced(tmp_path):
    (tmp_path / "signing.key").write_bytes(b"short")
    with pytest.raises(SettingsInvalid, match=r"signing\.key is not a key.*SIGNING_KEY"):
        signing_key(settings(tmp_path), "audit")
    assert (tmp_path / "signing.key").read_bytes() == b"short"
