"""What a backend states to be secret is masked wherever settings are shown."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr

from orchestrator import plugins
from orchestrator.cli.commands.config import config
from orchestrator.settings import load_settings
from orchestrator.wiring import BACKENDS, with_secrets

PREFIX = "ORCHESTRATOR_BACKENDS__"
SECRET = 'sk-the "real" one ü'


class Inner(BaseModel):
    token_of: dict[str, SecretStr] = {}


class Options(BaseModel):
    """Of a backend that another distribution brings."""

    login: SecretStr = SecretStr("")
    more: Inner = Inner()
    model: str = ""


def settings(tmp_path, **options):
    return load_settings({"ORCHESTRATOR_HOME": str(tmp_path), **options}, dotenv=tmp_path / "none")


@pytest.fixture
def theirs(monkeypatch):
    """Install a backend of another distribution, with or without `secrets`."""

    def install(**exported):
        module = ModuleType("their_backend")
        build = type("B", (), {"__module__": module.__name__})
        vars(module).update(exported, build=build)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        point = EntryPoint("theirs", "their_backend:build", "orchestrator.agents")
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group else [])

    return install


def test_a_backend_names_its_secrets_by_their_type(theirs, tmp_path):
    theirs(secrets=lambda given: given.backend_secrets("theirs", Options))
    given = settings(
        tmp_path,
        **{
            f"{PREFIX}THEIRS__LOGIN": SECRET,
            f"{PREFIX}THEIRS__MODEL": "big-model",
        },
    )
    assert "theirs" in BACKENDS.names()
    assert SECRET in with_secrets(given).secrets
    assert "big-model" not in with_secrets(given).secrets
    assert SECRET not in repr(given)


def test_secrets_are_found_however_deep_they_stand(tmp_path):
    given = settings(tmp_path)
    given.backends["deep"] = {"more": {"token_of": {"a": SECRET}}}
    assert given.backend_secrets("deep", Options) == (SECRET,)


@pytest.mark.parametrize("exported", [{}, {"secrets": None}])
def test_every_option_of_a_backend_that_states_nothing_counts(theirs, exported, tmp_path):
    theirs(**exported)
    given = settings(tmp_path, **{f"{PREFIX}THEIRS__WHATEVER": SECRET})
    assert SECRET in with_secrets(given).secrets


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("NOSUCH__API_KEY", SECRET),
        ("NOSUCH__ANY", SECRET),
        ("CLAUDE__API_KEY", SECRET),
        ("SCRIPTED__TOKEN", SECRET),
        ("COMMAND__ENV", json.dumps({"K": SECRET})),
        ("COMMAND__ENV", "{" + SECRET),
        ("CLAUDE__BINARY", "https://me:sk-the-password@host"),
    ],
)
def test_config_show_prints_no_key_of_a_backend(option, value, tmp_path, monkeypatch):
    """Known or not, well formed or not: what the options hold is not shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PREFIX + option, value)
    given = settings(tmp_path, **{PREFIX + option: value})
    shown = CliRunner().invoke(config, ["show", "--json"], obj=given)
    assert shown.exit_code == 0, shown.output
    rows = {row["name"]: row["value"] for row in json.loads(shown.output)["settings"]}
    assert PREFIX + option in rows
    for part in ("sk-the", json.dumps(SECRET)[1:-1]):
        assert part not in rows[PREFIX + option]


def test_every_backend_of_ours_states_its_secrets():
    files = Path(__file__).parents[3].glob("orchestrator/backends/[a-z]*.py")
    for name in (path.stem for path in files):
        assert callable(BACKENDS.stated(name, "secrets")), name
    assert BACKENDS.stated("nobody", "secrets") is None
