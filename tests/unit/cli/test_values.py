"""What a person types is taken as meant, or refused before anything happens."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.cli.values import REPOSITORY, SINCE
from orchestrator.errors import RequestInvalid
from orchestrator.models import SpawnRequest
from orchestrator.wiring import clock

SPAWN = ("spawn", "--branch", "main", "--item", "x", "--repo")


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """Neither a Valkey nor a system: whoever asks one has not refused the arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    for name in ("VALKEY_URL", "VALKEY_HOST"):
        monkeypatch.delenv(name, raising=False)


def refusal(*arguments):
    ran = CliRunner().invoke(main, arguments, prog_name="orch")
    assert ran.exit_code == 2, ran.output
    return ran.stderr


@pytest.mark.parametrize("empty", ["", " ", "\t"])
@pytest.mark.parametrize(
    "command",
    [
        SPAWN,
        ("kill-all", "--yes", "--repo"),
        ("kill-all", "--yes", "--task"),
        ("kill-all", "--yes", "--worker"),
        ("gates", "plan", "--repo"),
        ("ls", "--task"),
        ("ls", "--repo"),
        ("ls", "--code"),
        ("spawn", "--repo", "/srv/x", "--item", "x", "--branch"),
        ("spawn", "--repo", "/srv/x", "--branch", "main", "--item"),
    ],
    ids=" ".join,
)
def test_an_unset_variable_is_refused(command, empty):
    assert "is empty. If it comes from a variable, the variable is not set" in refusal(
        *command, empty
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("github.com/a/b", "https://github.com/a/b"),
        ("github.com/a/b.git", "https://github.com/a/b.git"),
        ("git.example.org/group/sub/b", "https://git.example.org/group/sub/b"),
    ],
)
def test_an_address_without_a_scheme_is_not_a_folder(given, meant):
    assert f"Did you mean {meant}?" in refusal(*SPAWN, given)


@pytest.mark.parametrize("given", ["shop", "./shop", "../shop", "$REPO", "~/no-such-folder"])
def test_a_relative_folder_must_exist(given):
    assert "there is no folder" in refusal(*SPAWN, given)


@pytest.mark.parametrize("given", ["github.com/a/b", "http://github.com/a/b", "git://g.org/a/b"])
def test_a_request_over_http_or_celery_gets_the_same_help(given):
    context = {"repository": given, "branch": "main", "workItems": ["x"]}
    with pytest.raises(RequestInvalid) as caught:
        SpawnRequest.parse({"taskId": "t", "agentType": "worker", "context": context})
    assert "Did you mean https://g" in caught.value.faults[0][1]


def test_a_folder_is_given_by_its_absolute_path(tmp_path):
    (tmp_path / "github.com" / "a").mkdir(parents=True)
    for given in ("github.com/a", "./github.com/a", str(tmp_path / "github.com" / "a")):
        assert REPOSITORY.convert(given, None, None) == str(tmp_path / "github.com" / "a")
    for given in ("https://github.com/a/b", "git@github.com:a/b", "ssh://h/x", "/srv/x.git"):
        assert REPOSITORY.convert(given, None, None) == given


def test_since_takes_a_duration_or_an_instant():
    since = SINCE.convert("1m", None, None)
    assert 60 <= (clock() - since).total_seconds() < 90
    assert SINCE.convert("2026-01-31T08:00:00+00:00", None, None).timestamp() == 1769846400
    assert "such as 30m" in refusal("ls", "--since", "yesterday")
