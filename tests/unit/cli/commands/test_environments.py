"""`orch environments`: what this host remembers of bases, listed and removed by a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.commands.environments import environments
from orchestrator.environments.cache import EnvironmentCache, Manifest
from orchestrator.gates.base_records import BaseRecords
from orchestrator.gates.run_record import RunRecord
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.sandbox import SandboxImage
from orchestrator.models import GateStatus, Stage
from orchestrator.settings import Settings, load_settings

GATE = PlannedGate("lint", Stage.PRE_COMMIT, "ruff check .", 60)
RED = RunRecord(status=GateStatus.FAILED, exit_code=1)
A, B, NEAR_A = "a" * 40, "b" * 40, "aaaaab" + "c" * 34


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings({"ORCHESTRATOR_HOME": str(tmp_path)})
    records = BaseRecords(settings, "shim")
    for base in (A, B, NEAR_A):
        records.get(base, GATE, None, lambda: (RED, RED), lambda: None)
    (tmp_path / "environments").mkdir()
    return settings


def made(settings: Settings, digest: str) -> EnvironmentCache:
    cache = EnvironmentCache(settings.home / "environments", 2**30)
    root = cache.root(digest)
    root.mkdir()
    environment = Environment(root=root, image=SandboxImage("python:3.12", "sha256:x"))
    cache.record(digest, Manifest(environment=environment, size_bytes=2**20, setup_s=1.25))
    return cache


def ran(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(environments, arguments, obj=settings)


def listed(settings: Settings) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ran(settings, "list", "--json").stdout)
    return document


def test_what_is_remembered_of_one_base_or_of_all_is_forgotten(settings):
    (first, *_) = listed(settings)["baseRuns"]
    assert (first["gate"], first["command"], first["results"]) == (
        "lint",
        "ruff check .",
        ["failed", "failed"],
    )
    assert json.loads(ran(settings, "forget", "--base", "aaaaaaa", "--json").stdout) == {
        "forgotten": 1
    }
    assert {run["base"] for run in listed(settings)["baseRuns"]} == {B, NEAR_A}
    assert ran(settings, "forget").stdout == "2 results forgotten\n"
    assert ran(settings, "forget").stdout == "0 results forgotten\n"


@pytest.mark.parametrize("base", ["aaaaa", "main", "AAAAAAA", "../../x"])
def test_what_is_no_start_of_a_commit_forgets_nothing(settings, base):
    assert ran(settings, "forget", "--base", base).exit_code == 2
    assert len(listed(settings)["baseRuns"]) == 3


def test_environments_are_removed_by_the_start_of_their_id_unless_in_use(settings):
    cache = made(settings, "a" * 64)
    made(settings, "b" * 64)
    (one, _) = listed(settings)["environments"]
    assert (one["image"], one["sizeBytes"], one["setupS"]) == ("python:3.12", 2**20, 1.2)
    assert "python:3.12" in ran(settings, "list").stdout
    for wrong in ([], ["aaaaa"], ["cccccc"], ["--all", "a" * 64]):
        assert ran(settings, "remove", *wrong).exit_code == 2
    with cache.locked("a" * 64, is_exclusive=False, check=None):
        refused = ran(settings, "remove", "--all", "--json")
        assert refused.exit_code == 1
        assert json.loads(refused.stdout) == {"removed": ["b" * 64], "inUse": ["a" * 64]}
    assert ran(settings, "remove", "aaaaaa").stdout == "1 environments removed\n"
    assert listed(settings)["environments"] == []
