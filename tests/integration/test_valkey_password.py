"""`orch up` gives its Valkey a password: commands and clients get it, agents do not."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import load_settings
from tests.integration.conftest import SAMPLE, System, make_remote


def test_without_the_password_valkey_answers_nobody(system: System):
    address = urlsplit(system.valkey)
    assert address.port
    with (
        redis.Redis(port=address.port, protocol=2) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    # The address that `orch up --json` prints is all that a client needs.
    with redis.Redis.from_url(system.valkey) as client:
        assert client.ping()


def test_the_password_is_in_one_private_file_and_commands_find_it(system: System):
    file = system.home / "valkey-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = file.read_text()
    assert len(password) >= 16
    assert "VALKEY_PASSWORD" not in system.env
    assert system.orch("ls", "--json").returncode == 0
    shown = system.orch("config", "show").stdout
    assert password not in shown
    logs = "".join(path.read_text(errors="replace") for path in (system.home / "log").iterdir())
    assert password not in logs


def test_no_agent_has_it(system: System, tmp_path: Path):
    remote = make_remote(tmp_path, SAMPLE)
    command = f"env >seen.txt; cat {system.home}/valkey-password >>seen.txt 2>&1; true"
    outcome = system.wait(system.spawn(remote, json.dumps([{"run": command}, {"say": "Seen."}])))
    diff = system.orch("diff", outcome["agentId"]).stdout
    assert "seen.txt" in diff
    level = json.loads(system.orch("status", outcome["agentId"], "--json").stdout)["sandbox"]
    if level == "bubblewrap":
        assert (system.home / "valkey-password").read_text() not in diff


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "valkey-password").write_text("generated\n")
    return tmp_path


def test_the_file_counts_only_for_the_valkey_of_this_home(home: Path):
    def url(**given: str) -> str:
        return load_settings({"ORCHESTRATOR_HOME": str(home), **given}).valkey_url

    assert url() == "redis://:generated@127.0.0.1:6379/0"
    assert url(VALKEY_PASSWORD="own") == "redis://:own@127.0.0.1:6379/0"
    assert url(VALKEY_HOST="elsewhere") == "redis://elsewhere:6379/0"
    assert url(VALKEY_URL="redis://elsewhere/1") == "redis://elsewhere/1"
    assert "generated" in load_settings({"ORCHESTRATOR_HOME": str(home)}).secrets


def test_an_empty_file_is_refused_with_its_name(home: Path):
    (home / "valkey-password").write_text("\n")
    with pytest.raises(SettingsInvalid, match=r"valkey-password is empty: remove it"):
        load_settings({"ORCHESTRATOR_HOME": str(home)})


def test_orch_env_prints_the_addresses_for_other_programs(system: System):
    printed = system.orch("env").stdout
    assert printed == f"export BROKER_URL={system.valkey}\nexport API_URL={system.api}\n"
    document = json.loads(system.orch("env", "--json").stdout)
    assert document == {"BROKER_URL": system.valkey, "API_URL": system.api}
