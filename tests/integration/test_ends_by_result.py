"""An agent ends by its result, whatever else its program prints, and however long it stays."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.doubles.claude_program import install, item
from tests.integration.conftest import System, git, make_remote, running
from tests.integration.test_end_to_end import post, request_body
from tests.processes import eventually

#: They are begun at once, and the first test waits for them all.
pytestmark = pytest.mark.timeout(600)

GATE = '[gates]\ntests = { command = "true", timeout = "2m" }\n'
LINE = "Add a line to notes."
WORK = 'init(); work(); say("working")\n'
#: What a client prints beside its events; each agent has done its work before, and ends well.
FOREIGN = {
    "a JSON string": 'print(json.dumps("some text"), flush=True)',
    "a runtime's warning": 'print("(node:12) Warning: deprecated", flush=True)',
    "a warning without a newline": 'print("Warning: {x} ", end="", flush=True)',
    "an empty object": 'print("{}", flush=True)',
    "null": 'print("null", flush=True)',
    "an array": 'print("[1, {}]", flush=True)',
    "a number": 'print("NaN", flush=True)',
    "usage is null": 'out(type="assistant", message={"id": "m", "content": [], "usage": None})',
    "usage is a list": 'out(type="assistant", message={"id": "m", "content": [], "usage": []})',
    "content is a text": 'out(type="assistant", message={"id": "m", "content": "x"})',
    "no message": 'out(type="assistant")',
    "an unknown block": 'message({"type": "server_tool_use", "id": "x"})',
    "errors as objects": 'result(errors=[{"message": "x"}])',
    "a result that is null": "result(None)",
    "no UTF-8": 'sys.stdout.buffer.write(b"\\xff\\xfe\\n"); sys.stdout.flush()',
    "NUL": 'print("\\0", flush=True)',
    "a BOM": 'print("\\ufeff", end="", flush=True)',
    "CR": 'print("{}\\r\\n\\r", end="", flush=True)',
    "two events in a line": (
        'print(json.dumps({"type": "system"}) + json.dumps({"type": "user"}), flush=True)'
    ),
    "an event on several lines": (
        'print(json.dumps({"type": "assistant", "message": {"id": "p", "content": "x"}}, indent=1),'
        " flush=True)"
    ),
    "half an event": 'print(\'{"type": "assistant", "message": {"id"\', flush=True)',
    "a line over the limit": 'print("x" * 3_000_000, flush=True)',
    "an event over the limit": 'out(type="user", message={"content": "x" * 3_000_000})',
    "deep nesting": 'print("[" * 9000 + "]" * 9000, flush=True)',
    "a long number": 'print("{\\"type\\": \\"user\\", \\"a\\": " + "9" * 9000 + "}", flush=True)',
    "absurd tokens": 'message(usage={"input_tokens": 10**12, "output_tokens": 1})',
    "negative tokens": 'message(usage={"input_tokens": -5, "output_tokens": True})',
    "an absurd cost": "result(total_cost_usd=1e308)",
    "no cost": 'result(total_cost_usd=float("nan"))',
}
#: Those of them that are played by an agent of their own; all together are played by another.
ALONE = ("a runtime's warning", "null", "half an event", "a result that is null")
#: How a client stays after its result: what it plays then.
STAYING = {
    "hangs": "time.sleep(3600)",
    "hangs and ignores SIGTERM": "signal.signal(15, signal.SIG_IGN); time.sleep(3600)",
    "its child goes on silently": 'subprocess.run(["sleep", "3600"])',
    "says more, then hangs": 'say("Bye."); result("Bye."); time.sleep(3600)',
    "prints for ever": 'while True: print("still here", flush=True); time.sleep(0.3)',
    "has a task that never ends": (
        'out(type="system", subtype="task_started", task_id="t"); time.sleep(3600)'
    ),
    "fails afterwards": (
        'result("", subtype="error_during_execution", is_error=True, num_turns=0); sys.exit(1)'
    ),
    "exits with 3": "sys.exit(3)",
    "crashes": "os.kill(os.getpid(), 11)",
    "failed before": (
        'result("API error", is_error=True); result("' + LINE + '")'
    ),
}  # fmt: skip


#: What ends without a good result: what it plays, its error's code, and what the error shows.
FAILING = {
    "garbage": ('print("hm {}", flush=True)', "agent_garbled", "'hm'"),
    "silence": ("pass", "agent_failed", "without a result"),
    "a wrong option": (
        'print("no such option", flush=True); sys.exit(2)', "agent_failed", "'no such option'",
    ),
    "a refused key": (
        'result("API Error: 401", is_error=True); sys.exit(1)', "agent_failed", "API Error: 401",
    ),
    "an error and a hang": (
        'result("No.", is_error=True); time.sleep(3600)', "agent_failed", "gave up: No.",
    ),
    "no turns left": (
        'result("", subtype="error_max_turns", is_error=True)', "agent_failed", "error_max_turns",
    ),
}  # fmt: skip
#: The title of the commit, by what was said.
TITLES = {
    'say("I added a line."); result("")': "I added a line.",
    'say("I added a line."); result(None)': "I added a line.",
    'result("success")': "Write a line.",
    'say("a"); result("I wait."); use(); result("Added a line.")': "Added a line.",
}
#: As after a background task of the real one; its pauses are longer than the grace.
TURN_AFTERWARDS = """
result("I wait.")
out(type="system", subtype="task_started", task_id="t"); time.sleep(4)
out(type="system", subtype="task_notification", task_id="t", status="completed")
use(tool="u"); time.sleep(4); work("three")
out(type="user", message={"content": [{"type": "tool_result", "tool_use_id": "u"}]})
result("Add two lines.")
"""


@dataclass(frozen=True)
class Ended:
    """An agent's state and log."""

    state: dict[str, Any]
    log: str


def ask(system: System, path: str) -> Any:
    """Ask the API; a command of the CLI would take a second to start."""
    with urllib.request.urlopen(f"{system.api}{path}", timeout=120) as response:
        return json.load(response)


def end_of(system: System, agent_id: str) -> Ended:
    """Wait for an agent's end."""

    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = ask(system, f"/agents/{agent_id}/status")
        return state if state["status"] in ("completed", "failed", "killed") else None

    state = eventually(ended, within_s=400)
    assert isinstance(state, dict)
    lines = ask(system, f"/agents/{agent_id}/logs?limit=1000")
    return Ended(state, json.dumps(lines, ensure_ascii=False))


@pytest.fixture(scope="module")
def claude(tmp_path_factory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("claude")
    with running(
        home,
        ORCHESTRATOR_AGENT="claude",
        ORCHESTRATOR_BACKENDS__CLAUDE__BINARY=str(install(home)),
        CLAUDE_API_KEY="sk-only-for-the-double",
        ORCHESTRATOR_RESULT_GRACE="2s",
        ORCHESTRATOR_LINE_LIMIT_BYTES="1000000",
        MAX_CONCURRENT_AGENTS="20",
    ) as system:
        yield system


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    return make_remote(
        tmp_path_factory.mktemp("notes"), {"orchestrator.toml": GATE, "notes.txt": "one\n"}
    )


@pytest.fixture(scope="module")
def ended(claude, remote):
    """Every agent of this file, all begun at once."""
    rest = '\nsay("more"); result()'
    plays = {name: f"{WORK}{FOREIGN[name]}{rest}" for name in ALONE}
    plays["everything"] = WORK + "\n".join(FOREIGN.values()) + rest
    plays |= {name: f"{WORK}result()\n{play}" for name, play in STAYING.items()}
    plays["failed before"] = f"{WORK}{STAYING['failed before']}"
    plays |= {name: f"{WORK}{play}" for name, (play, _, _) in FAILING.items()}
    plays |= {play: f"init(); work(); {play}" for play in TITLES}
    plays["turn"] = f"{WORK}{TURN_AFTERWARDS}"
    ids = {
        name: post(claude, request_body(remote, item(play), agent="claude"))
        for name, play in plays.items()
    }
    return {name: end_of(claude, agent_id) for name, agent_id in ids.items()}


@pytest.mark.parametrize("name", [*ALONE, "everything", *STAYING])
def test_work_that_has_its_result_is_pushed(ended, remote, name):
    state = ended[name].state
    assert state["status"] == "completed", (state, ended[name].log)
    assert git("log", "-1", "--format=%s", state["commit"], cwd=remote) == LINE
    assert git("show", f"{state['commit']}:notes.txt", cwd=remote) == "one\ntwo"


@pytest.mark.parametrize(
    "shown",
    [
        *("a JSON string: ", "(node:12) Warning: deprecated", "{}", "line of 3000000 bytes"),
        *(
            "a damaged event: ",
            "not counted: assistant.message.input_tokens",
            "not counted: result.total_cost_usd",
        ),
    ],
)
def test_what_was_no_event_is_in_the_log_and_counted(ended, shown):
    assert shown in ended["everything"].log
    assert ended["everything"].state["unknownOutput"] >= 15
    assert ended["a runtime's warning"].state["unknownOutput"] == 1
    assert "unknownOutput" not in ended["hangs"].state


def test_numbers_that_cannot_be_are_not_counted(ended):
    assert ended["everything"].state["usage"]["totalTokens"] < 100


def test_a_program_that_stayed_is_told_of(ended):
    for name in ("hangs", "prints for ever", "has a task that never ends"):
        assert "does not end by itself: ended" in ended[name].log
    assert "the result counts" in ended["exits with 3"].log


@pytest.mark.parametrize("name", FAILING)
def test_without_a_good_result_it_fails_and_shows_why(ended, name):
    _, code, shown = FAILING[name]
    state = ended[name].state
    assert (state["status"], state["errorCode"]) == ("failed", code)
    assert shown in state["error"]


@pytest.mark.parametrize("play", TITLES)
def test_the_title_is_the_best_word_there_is(ended, remote, play):
    state = ended[play].state
    assert state["status"] == "completed", state
    assert git("log", "-1", "--format=%s", state["commit"], cwd=remote) == TITLES[play]


def test_a_turn_after_the_result_that_works_is_waited_for(ended, remote):
    commit = ended["turn"].state["commit"]
    assert git("show", f"{commit}:notes.txt", cwd=remote) == "one\ntwo\nthree"
    assert git("log", "-1", "--format=%s", commit, cwd=remote) == "Add two lines."
