"""The second judge in the whole system: real agents, real checkouts, and a person's way through."""

from __future__ import annotations

import importlib.util

import pytest

from tests.doubles.messages_api import MessagesApi
from tests.integration.conftest import git, make_remote, running
from tests.integration.test_gates_end_to_end import (
    BROKEN,
    KEY,
    MENDED,
    PROJECT,
    approve,
    play,
    replaced,
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`: its binary is the reviewer",
)
#: No rule for text knows this edit.
BENT = replaced("test_calc.py", "self.assertEqual(add(1, 2), 3)", "self.assertTrue(add(1, 2))")


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with (
        MessagesApi([approve] * 50, key=KEY) as api,
        running(
            tmp_path_factory.mktemp("second-judge"),
            ORCHESTRATOR_AGENT="scripted",
            CLAUDE_API_KEY=KEY,
            ANTHROPIC_BASE_URL=api.url,
        ) as started,
    ):
        yield started


@pytest.fixture
def project(tmp_path):
    return make_remote(tmp_path, PROJECT)


def told(reports) -> set[tuple[str, str]]:
    return {
        (finding["kind"], finding["path"])
        for report in reports
        for finding in report.get("findings", ())
    }


def test_standard_reports_that_the_bases_test_fails_on_the_changed_sources(system, project):
    outcome, reports = play(system, project, BROKEN, BENT, gate_profile="standard")
    assert outcome["status"] == "completed", outcome["error"]
    assert told(reports) == {("base-tests", "test_calc.py")}


def test_strict_rejects_it_and_a_person_lets_it_through(system, project):
    outcome, reports = play(system, project, BROKEN, BENT, gate_profile="strict", max_retries="0")
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "gates_rejected")
    assert told(reports) == {("base-tests", "test_calc.py")}
    assert "test_add" in reports[0]["findings"][0]["detail"]
    again = system.orch("retry", outcome["agentId"], "--may-edit=test_*.py", "--why=asked for it")
    after = system.wait(again.stdout.strip())
    assert after["status"] == "completed", after["error"]
    shown = system.orch("gates", after["agentId"]).stdout
    assert "(the request allows test_*.py)" in shown
    assert "may edit test_*.py" in system.orch("audit").stdout


def test_what_tools_make_is_not_in_the_checkouts_of_gates(system, tmp_path):
    step = {"write": {"path": "x.tsbuildinfo", "content": "made"}}
    looking = {
        **PROJECT,
        "Makefile": "test:\n\ttest ! -e x.tsbuildinfo\n\tpython3 -m unittest -q\n",
    }
    project = make_remote(tmp_path, looking)
    outcome, reports = play(system, project, MENDED, step, gate_profile="standard")
    assert outcome["status"] == "completed", outcome["error"]
    assert told(reports) == {("made-file", "x.tsbuildinfo")}
    assert git("show", f"{outcome['commit']}:x.tsbuildinfo", cwd=project)
