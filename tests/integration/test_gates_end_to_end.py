"""Gates that block: what an agent does to its judges, and what a rejection leads to. All real."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import redis
import yaml

from tests.doubles.coordinator import Double
from tests.doubles.messages_api import MessagesApi, Request, Text, ToolCall, Turn
from tests.integration.conftest import git, make_remote, running

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`: its binary is the reviewer and an author",
)
KEY = "sk-only-for-the-double"
PROJECT = {
    "pyproject.toml": "[tool.coverage.report]\nfail_under = 90\n",
    "orchestrator.toml": (
        "[gates]\n"
        'typecheck = "python3 -m compileall -q calc.py"\n'
        'lint = "python3 -m tabnanny calc.py"\n'
        'tests = "make test"\n'
        'coverage = {command = "python3 cover.py", report = "coverage.json"}\n'
        'build = "python3 -m compileall -q ."\n'
        "integration = \"python3 -c 'import calc'\"\n"
    ),
    "Makefile": "test:\n\tpython3 -m unittest -q\n",
    "cover.py": (
        "import json\n"
        "totals = {'covered_lines': 9, 'num_statements': 10, 'percent_covered': 90.0}\n"
        "json.dump({'meta': {'format': 3}, 'files': {}, 'totals': totals},"
        " open('coverage.json', 'w'))\n"
    ),
    "calc.py": "def add(a, b):\n    return a + b\n",
    "test_calc.py": (
        "import unittest\n\nfrom calc import add\n\n\n"
        "class TestAdd(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n\n"
        "    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n"
    ),
}
TEST_ADD = "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n\n"
BROKEN = {"write": {"path": "calc.py", "content": "def add(a, b):\n    return a - b\n"}}
MENDED = {"write": {"path": "calc.py", "content": "def add(a, b):\n    return b + a\n"}}


def approve(_request: Request) -> Turn:
    return Turn((ToolCall("StructuredOutput", {"approved": True, "confidence": 0.97}),))


@pytest.fixture(scope="module")
def api():
    with MessagesApi([approve] * 200, key=KEY) as double:
        yield double


@pytest.fixture(scope="module")
def system(api, tmp_path_factory):
    with running(
        tmp_path_factory.mktemp("gates-home"),
        ORCHESTRATOR_AGENT="scripted",
        CLAUDE_API_KEY=KEY,
        ANTHROPIC_BASE_URL=api.url,
    ) as started:
        yield started


@pytest.fixture
def project(tmp_path) -> Path:
    return make_remote(tmp_path, PROJECT)


def play(system, remote: Path, *steps: object, **options: str) -> tuple[dict, list[dict]]:
    """Run one scripted agent to its end; returns its outcome and its gate reports."""
    item = yaml.safe_dump({"steps": [*steps, {"say": "Done."}]})
    outcome = system.wait(system.spawn(remote, item, **options))
    shown = system.orch("gates", outcome["agentId"], "--json")
    return outcome, json.loads(shown.stdout)["reports"]


def append(path: str, text: str) -> dict:
    return {"append": {"path": path, "content": text}}


def replaced(path: str, old: str, new: str) -> dict:
    assert old in PROJECT[path]
    return {"write": {"path": path, "content": PROJECT[path].replace(old, new)}}


def test_an_honest_change_passes_strict_and_every_gate_has_looked(system, project):
    outcome, reports = play(system, project, MENDED, gate_profile="strict")
    assert outcome["status"] == "completed", outcome["error"]
    assert set(outcome["verdict"]["gates"].values()) == {"passed"}
    assert [report["stage"] for report in reports] == ["pre-commit", "post-commit"]
    names = [gate["name"] for report in reports for gate in report["gates"]]
    assert sorted(names) == sorted(
        ["typecheck", "lint", "tests", "coverage", "build", "integration", "ai-review"]
    )
    assert {report["tree"] for report in reports} == {outcome["verdict"]["tree"]}


def test_a_reviewer_is_shown_what_stands_behind_a_large_file(system, project, api):
    steps = [{"run": "seq 40000 >aaa.json"}, MENDED]
    outcome, reports = play(system, project, *steps, gate_profile="strict")
    assert outcome["status"] == "completed", outcome["error"]
    (said,) = [gate["detail"] for gate in reports[-1]["gates"] if gate["name"] == "ai-review"]
    assert said.endswith("lacks a part of aaa.json")
    prompt = json.dumps(api.main_requests[-1].body["messages"])
    assert "+40000 -0 aaa.json: CUT" in prompt
    assert "+    return b + a" in prompt


SHADOW = "import sys\nprint('Ran 2 tests\\n\\nOK')\n"
CHEATS = {
    "deletes-the-failing-test": [
        BROKEN,
        replaced("test_calc.py", TEST_ADD, ""),
    ],
    "marks-it-skipped": [
        BROKEN,
        replaced("test_calc.py", TEST_ADD, f"    @unittest.skip('later')\n{TEST_ADD}"),
    ],
    "lowers-fail-under": [replaced("pyproject.toml", "fail_under = 90", "fail_under = 10")],
    "edits-the-gate-configuration": [
        BROKEN,
        replaced("orchestrator.toml", 'tests = "make test"', 'tests = "true"'),
    ],
    "replaces-the-test-tool-by-a-script": [
        BROKEN,
        {"write": {"path": "unittest.py", "content": SHADOW}},
    ],
    "adds-a-conftest-that-empties-collection": [
        {"write": {"path": "conftest.py", "content": "collect_ignore_glob = ['*']\n"}},
    ],
    "makes-the-test-command-exit-0": [
        BROKEN,
        replaced("Makefile", "python3 -m unittest -q", "exit 0"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_rejected_or_reported_and_never_pushed_under_strict(system, project, name):
    outcome, reports = play(system, project, *CHEATS[name], gate_profile="strict", max_retries="0")
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "gates_rejected")
    assert reports[-1]["approved"] is False
    assert git("for-each-ref", "refs/heads/agent", cwd=project) == ""
    assert any(report.get("findings") for report in reports), reports


def test_the_plan_is_the_base_commits_whatever_the_agent_writes(system, project):
    cheat = replaced("orchestrator.toml", 'tests = "make test"', 'tests = "true"')
    outcome, reports = play(system, project, BROKEN, cheat, max_retries="0")
    (tests,) = reports[0]["gates"]
    assert (tests["command"], tests["status"]) == ("make test", "failed")
    assert outcome["status"] == "failed"


def test_a_gate_nobody_can_run_is_missing_and_says_which_line_to_add(system, tmp_path):
    bare = make_remote(tmp_path, {"README.md": "nothing to run\n"})
    outcome, reports = play(system, bare, append("README.md", "more\n"))
    (tests,) = reports[0]["gates"]
    assert tests["status"] == "missing"
    assert 'tests = "<command>"' in tests["detail"]
    assert outcome["status"] == "failed"


def test_a_rejected_agent_goes_on_with_what_it_left_until_it_passes(system, project):
    rounds = [
        [{"write": {"path": "kept.py", "content": "KEPT = 1\n"}}, BROKEN, {"say": "First try."}],
        [{"write": {"path": "said.md", "content": "{{feedback}}\n"}}, MENDED, {"say": "Mended."}],
    ]
    agent_id = system.spawn(project, yaml.safe_dump({"rounds": rounds}))
    outcome = system.wait(agent_id)
    assert outcome["status"] == "completed", outcome["error"]
    state = json.loads(system.orch("status", agent_id, "--json").stdout)
    assert (state["rounds"], state["attempt"]) == (1, 2)
    assert git("show", f"{outcome['commit']}:kept.py", cwd=project) == "KEPT = 1"
    said = git("show", f"{outcome['commit']}:said.md", cwd=project)
    assert "Gate tests: failed" in said
    assert "test_add" in said


def test_rounds_end_after_max_retries_with_the_report(system, project):
    outcome, reports = play(system, project, BROKEN, max_retries="2")
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "gates_rejected")
    assert [report["attempt"] for report in reports] == [1, 2, 3]


def test_yolo_skips_the_gates_and_says_so(project, tmp_path):
    with running(tmp_path / "home", ORCHESTRATOR_AGENT="scripted", YOLO_MODE="true") as system:
        outcome, reports = play(system, project, BROKEN)
        state = json.loads(system.orch("status", outcome["agentId"], "--json").stdout)
    assert outcome["status"] == "completed"
    assert outcome["verdict"]["yolo"] is True
    assert state["yolo"] is True
    assert reports == []


def working_in(request: Request) -> str:
    found = re.search(r"(/[^\s\"\\]+/workspaces/[^/\s]+/tree)", json.dumps(request.body))
    assert found
    return found[1]


def writes(content: str, said: str):
    def turn(request: Request) -> Turn:
        path = f"{working_in(request)}/calc.py"
        written = ToolCall(
            "Bash", {"command": f"cat > {path} <<'E'\n{content}E", "description": said}
        )
        return Turn((Text(said), written))

    return turn


def test_claude_code_mends_in_its_own_session_what_the_gates_rejected(project, tmp_path):
    broken, mended = (step["write"]["content"] for step in (BROKEN, MENDED))
    turns = (
        writes(broken, "I subtract."),
        Turn((Text("Subtracted."),)),
        writes(mended, "I add again."),
        Turn((Text("Add in the other order."),)),
    )
    with (
        MessagesApi(turns, key=KEY) as api,
        running(tmp_path / "home", CLAUDE_API_KEY=KEY, ANTHROPIC_BASE_URL=api.url) as system,
    ):
        agent_id = system.spawn(project, "Make add() commutative.")
        outcome = system.wait(agent_id)
        state = json.loads(system.orch("status", agent_id, "--json").stdout)
    assert outcome["status"] == "completed", outcome["error"]
    assert state["rounds"] == 1
    first, *_, last = api.main_requests
    second_round = json.dumps(api.main_requests[2].body["messages"])
    assert "I subtract." in second_round, "the second round must know what the first one said"
    assert "Gate tests: failed" in second_round
    assert "Gate tests: failed" not in json.dumps(first.body)
    assert len(last.body["messages"]) > len(first.body["messages"])
    assert state["usage"]["inputTokens"] == 4 * 100


@pytest.mark.parametrize(
    ("answer", "code", "pushed"),
    [
        ((200, {}, '{"approved": true}'), None, True),
        ((200, {}, '{"approved": false, "message": "not on a Friday"}'), "gates_rejected", False),
        ((401, {}, ""), "coordinator_refused", False),
        ((500, {}, ""), "coordinator_unavailable", False),
    ],
)
def test_the_coordinator_can_only_add_a_rejection(coordinator, project, answer, code, pushed):
    double, system = coordinator
    double.answers, double.bodies = [answer], []
    outcome, reports = play(system, project, MENDED, max_retries="0")
    assert outcome["errorCode"] == code, outcome["error"]
    assert bool(git("for-each-ref", "refs/heads/agent", cwd=project)) is pushed
    assert double.bodies[0]["files"] == ["calc.py"]
    assert "calc.py" in double.bodies[0]["diffSummary"]
    if code == "gates_rejected":
        assert reports[0]["gates"][-1]["detail"] == "not on a Friday"
    if code == "coordinator_unavailable":
        # Its work is kept: the bundle outlives the agent.
        with redis.Redis.from_url(system.valkey) as client:
            assert client.exists(f"orchestrator:change:{outcome['agentId']}:1")


def test_the_coordinator_is_not_asked_about_what_the_gates_rejected(coordinator, project):
    double, system = coordinator
    double.answers, double.bodies = [(200, {}, '{"approved": true}')], []
    outcome, _ = play(system, project, BROKEN, max_retries="0")
    assert outcome["errorCode"] == "gates_rejected"
    assert double.bodies == []


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    with Double() as double:
        home = tmp_path_factory.mktemp("coordinated")
        env = {"ORCHESTRATOR_AGENT": "scripted", "COORDINATOR_URL": double.url}
        with running(home, **env) as system:
            yield double, system
