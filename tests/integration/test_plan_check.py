"""A plan that no change can pass ends an agent before its program has run."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import uuid
from pathlib import Path

import pytest

from orchestrator.repo_config import shipped_schema
from tests.integration.conftest import SAMPLE, System, git, make_remote, running

WRITES = "steps:\n- write: {path: a.txt, content: a}\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    home = tmp_path_factory.mktemp("plan-check") / "home"
    # As where the virtual environment of the orchestrator is activated.
    path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
    with running(home, ORCHESTRATOR_AGENT="scripted", PATH=path) as system:
        yield system


def ended(system: System, files: dict[str, str], folder: Path, *options: str) -> dict[str, object]:
    remote = make_remote(folder, files)
    asked = ("--repo", str(remote), "--branch=main", "--item", WRITES, f"--task={uuid.uuid4()}")
    ran = system.orch("spawn", *asked, "--wait", "--json", *options, check=False)
    outcome: dict[str, object] = json.loads(ran.stdout)
    assert ran.returncode == (0 if outcome["status"] == "completed" else 3), ran.stderr
    outcome["branches"] = git("for-each-ref", "refs/heads/agent", cwd=remote)
    return outcome


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ({"README.md": ""}, "missing", "fix the repository"),
        ({"orchestrator.toml": "[gates]\ntests = 'no-such-tool'"}, "errored", "fix the host"),
    ],
)
def test_it_is_refused_with_its_own_code_and_a_report(system, tmp_path, files, status, words):
    outcome = ended(system, files, tmp_path, "--gate-profile=minimal")
    assert outcome["errorCode"] == "plan_unrunnable"
    assert words in str(outcome["error"])
    agent_id = str(outcome["agentId"])
    reports = json.loads(system.orch("gates", agent_id, "--json").stdout)["reports"]
    assert [gate["status"] for gate in reports[0]["gates"]] == [status]
    assert "startedAt" not in json.loads(system.orch("status", agent_id, "--json").stdout)


def test_the_python_of_the_orchestrator_is_not_that_of_the_gates(system, tmp_path):
    command = json.dumps(f'python3 -c "import sys; sys.exit(sys.prefix == {sys.prefix!r})"')
    files = {"orchestrator.toml": f"[gates]\ntests = {command}\n"}
    outcome = ended(system, files, tmp_path, "--gate-profile=minimal")
    assert outcome["status"] == "completed", outcome["error"]


def test_editors_are_served_the_schema_of_the_configuration(system):
    with urllib.request.urlopen(f"{system.api}/schemas/repository.json") as answer:
        assert answer.headers["Content-Type"] == "application/schema+json"
        assert answer.read() == shipped_schema()


def test_a_malformed_configuration_is_found_before_the_agent_runs(system, tmp_path):
    files = {**SAMPLE, "pyproject.toml": "[tool.orchestrator.gates]\ntest = 'x'\n"}
    outcome = ended(system, files, tmp_path, "--gate-profile=minimal")
    assert outcome["errorCode"] == "plan_invalid"
    assert "did you mean tests?" in str(outcome["error"])


def test_a_repository_has_a_profile_of_its_own_and_a_request_another(system, tmp_path):
    files = {**SAMPLE, "orchestrator.toml": "profile = 'minimal'\n"}
    outcome = ended(system, files, tmp_path / "own")
    assert outcome["status"] == "completed", outcome["error"]
    state = json.loads(system.orch("status", str(outcome["agentId"]), "--json").stdout)
    assert (state["gateProfile"], state["verdict"]["profile"]) == ("minimal", "minimal")
    asked = ended(system, files, tmp_path / "asked", "--gate-profile=standard")
    assert asked["errorCode"] == "plan_unrunnable"


def test_a_gate_that_does_not_apply_lets_the_change_through_and_is_told(system, tmp_path):
    gates = "[gates]\ntests = {not_applicable = 'prose only'}\n"
    outcome = ended(system, {"orchestrator.toml": gates}, tmp_path, "--gate-profile=minimal")
    assert outcome["status"] == "completed", outcome["error"]
    assert outcome["verdict"]["gates"] == {"tests": "not_applicable"}  # type: ignore[index]
    assert outcome["branches"]


def test_where_it_is_only_warned_of_the_agent_runs_and_its_log_says_so(tmp_path):
    with running(
        tmp_path / "home", ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_PLAN_CHECK="warn"
    ) as system:
        outcome = ended(system, {"README.md": ""}, tmp_path / "r", "--gate-profile=minimal")
        assert outcome["errorCode"] == "gates_rejected"
        assert "no change can be approved" in system.orch("logs", str(outcome["agentId"])).stdout
