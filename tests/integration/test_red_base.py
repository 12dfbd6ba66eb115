"""An agent whose base is red, in the whole system: what was there before costs no round."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.integration.conftest import git, make_remote, running

GATES = """\
[gates]
lint = "sh lint.sh"
tests = "python3 -m unittest -q"
typecheck = {not_applicable = "none"}
coverage = {not_applicable = "none"}
"""
PROJECT = {
    "orchestrator.toml": GATES,
    "lint.sh": "! grep -n BAD *.txt /dev/null\n",
    "old.txt": "fine\nBAD of old\n",
    "test_a.py": ("import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"),
}
NONE = "not_applicable"
OTHERS = {"typecheck": NONE, "tests": "passed"}
COMPARED = {**PROJECT, "orchestrator.toml": f'{GATES}red_base = "compare"\n'}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running(tmp_path_factory.mktemp("red-base"), ORCHESTRATOR_AGENT="scripted") as started:
        yield started


def ended(system, remote, *rounds: dict[str, str]) -> tuple[dict, list[dict]]:
    """Run an agent that writes other files in each round; return its outcome and its reports."""
    steps = [
        [{"write": {"path": path, "content": text}} for path, text in one.items()] for one in rounds
    ]
    item = yaml.safe_dump({"rounds": steps} if len(steps) > 1 else {"steps": steps[0]})
    outcome = system.wait(system.spawn(remote, item, gate_profile="standard"))
    shown = system.orch("gates", outcome["agentId"], "--json")
    return outcome, json.loads(shown.stdout)["reports"]


def of(report: dict, name: str) -> dict:
    (gate,) = [gate for gate in report["gates"] if gate["name"] == name]
    return gate


def test_without_a_policy_it_is_not_charged_and_not_approved(system, tmp_path):
    remote = make_remote(tmp_path, PROJECT)
    outcome, reports = ended(system, remote, {"new.txt": "fine\n"})
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "gates_rejected")
    assert "red on the base" in outcome["error"]
    assert outcome["verdict"]["gates"] == {**OTHERS, "lint": "errored"}
    assert len(reports) == 1, "no rework round"
    assert not git("for-each-ref", "refs/heads/agent", cwd=remote)


def test_compared_it_is_pushed_and_all_evidence_says_so(system, tmp_path):
    remote = make_remote(tmp_path, COMPARED)
    outcome, reports = ended(system, remote, {"new.txt": "fine\n", "old.txt": "BAD of old\n"})
    assert outcome["status"] == "completed", outcome["error"]
    assert outcome["verdict"]["gates"] == {**OTHERS, "coverage": NONE, "lint": "red_before"}
    assert "compared by lines" in of(reports[0], "lint")["detail"]
    trailers = git("log", "-1", "--format=%(trailers)", outcome["commit"], cwd=remote)
    assert "Gates-Red-Before: lint" in trailers
    assert "red_before" in system.orch("gates", outcome["agentId"]).stdout


def test_the_agent_is_told_which_failures_are_its_own(system, tmp_path):
    rounds = ({"new.txt": "BAD of new\n"}, {"new.txt": "fine\n"})
    outcome, reports = ended(system, make_remote(tmp_path, COMPARED), *rounds)
    assert outcome["status"] == "completed", outcome["error"]
    first, second, _ = reports
    assert (of(first, "lint")["status"], of(second, "lint")["status"]) == ("failed", "red_before")
    detail = of(reports[0], "lint")["detail"]
    assert "of this change: new.txt:0:BAD of new" in detail
    assert "red on the base: old.txt:0:BAD of old" in detail


def test_a_base_whose_gate_cannot_run_is_found_before_the_next_agent_starts(system, tmp_path):
    remote = make_remote(tmp_path, {**PROJECT, "lint.sh": "no-such-linter *.txt\n"})
    first, reports = ended(system, remote, {"new.txt": "fine\n"})
    assert first["errorCode"] == "gates_rejected"
    assert "on the base commit too" in of(reports[0], "lint")["detail"]
    second, reports = ended(system, remote, {"new.txt": "other\n"})
    assert second["errorCode"] == "plan_unrunnable", second["error"]
    assert "cannot run on the base commit" in of(reports[0], "lint")["detail"]
    state = json.loads(system.orch("status", second["agentId"], "--json").stdout)
    assert "startedAt" not in state


def test_before_finds_it_before_the_first_agent_starts(tmp_path):
    broken = make_remote(tmp_path / "broken", {**PROJECT, "lint.sh": "no-such-linter *.txt\n"})
    red = make_remote(tmp_path / "red", COMPARED)
    extra = {"ORCHESTRATOR_AGENT": "scripted", "ORCHESTRATOR_BASE_CHECK": "before"}
    with running(tmp_path / "home", **extra) as system:
        outcome, _ = ended(system, broken, {"new.txt": "fine\n"})
        assert outcome["errorCode"] == "plan_unrunnable", outcome["error"]
        outcome, reports = ended(system, red, {"new.txt": "fine\n"})
        assert outcome["status"] == "completed", outcome["error"]
        assert of(reports[0], "lint")["status"] == "red_before"
        log = system.orch("logs", outcome["agentId"]).stdout
        assert "gate lint is red on the base commit" in log
