"""The scripted agent does what its script says, step for step, as a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from orchestrator.backends.scripted import build
from orchestrator.interfaces.agent import (
    AgentJob,
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.interfaces.signals import FieldRefused, Foreign
from orchestrator.models import AgentType, Usage
from orchestrator.sandboxes import process
from orchestrator.settings import load_settings

OPTION = "ORCHESTRATOR_BACKENDS__SCRIPTED__SCRIPT"


@dataclass
class Played:
    """How a play went."""

    exit_code: int
    stdout: bytes
    stderr: str
    signals: list = field(default_factory=list)


@pytest.fixture
def play(tmp_path):
    """Play a work item in a worktree of its own; the signals are read as far as they can be."""
    (tmp_path / "tree").mkdir()

    def run(item, *, option=None, **changes):
        given = {} if option is None else {OPTION: str(option)}
        settings = load_settings(given)
        backend = build(settings)
        job = {
            "agent_id": "a-1",
            "agent_type": AgentType.WORKER,
            "work_items": (item if isinstance(item, str) else yaml.safe_dump(item), "Second."),
            "skills": (),
            "worktree": tmp_path / "tree",
            "home": tmp_path,
        }
        launch = backend.launch(AgentJob(**{**job, **changes}))
        env = {"PATH": os.environ["PATH"], **launch.env}
        tree = tmp_path / "tree"
        spec = ProcessSpec("a-1", launch.argv, env, tree, launch.stdin, root=tmp_path)
        ended = run_to_end(
            process.build(settings), spec, timeout_s=240, output_limit_bytes=200_000_000
        )
        played = Played(ended.exit_code, ended.stdout, ended.stderr.decode())
        for line in ended.stdout.split(b"\n"):
            played.signals += backend.signals(line)
        return played

    return run


def test_every_step_is_told_and_done(play, tmp_path):
    tree = tmp_path / "tree"
    (tree / "doomed").mkdir()
    played = play({
        "steps": [
            {"say": "I begin with {{work_items}}"[:12]},
            {"write": {"path": "deep/{{agent_id}}.txt", "content": "é for {{agent_id}}\n"}},
            {"append": {"path": "deep/a-1.txt", "content": "more"}},
            {"delete": "doomed"},
            {"run": "echo out; echo err >&2; echo $ORCH_AGENT_ID > id"},
            {"tool": {"name": "Search", "detail": "x"}},
            {"tokens": {"input": 10, "output": 5, "cache_read": 3, "cache_write": 2}},
            {"tokens": {"output": 7, "id": "m"}},
            {"sleep": 0},
            {"wait_for": "id"},
            {"say": "Done."},
        ]
    })  # fmt: skip
    assert played.exit_code == 0, played.stderr
    assert played.signals == [
        SessionStarted("scripted-1"),
        AgentMessage("I begin with"),
        ToolUse("write", "deep/a-1.txt"),
        ToolUse("write", "deep/a-1.txt"),
        ToolUse("delete", "doomed"),
        ToolUse("run", "echo out; echo err >&2; echo $ORCH_AGENT_ID > id"),
        ToolUse("Search", "x"),
        UsageReport(
            "scripted-1-1",
            Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2),
        ),
        UsageReport("m", Usage(output_tokens=7)),
        AgentMessage("Done."),
        Result(ok=True, summary="Done."),
    ]
    assert (tree / "deep" / "a-1.txt").read_text() == "é for a-1\nmore"
    assert not (tree / "doomed").exists()
    assert (tree / "id").read_text() == "a-1\n"
    assert played.stderr == "out\nerr\n"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"fail": 3}, 3),
        ({"fail": 0}, 0),
        ({"run": "exit 4"}, 4),
        ({"run": "kill -9 $$"}, 137),
        ({"signal": 11}, -11),
        ({"signal": 9}, -9),
    ],
)
def test_it_ends_as_it_is_told_and_without_a_result(play, step, code):
    played = play({"steps": [step, {"say": "not reached"}]})
    assert played.exit_code == code
    assert played.signals[0] == SessionStarted("scripted-1")
    assert not [one for one in played.signals if isinstance(one, AgentMessage | Result)]


def test_it_prints_raw_bytes_as_often_as_told(play):
    played = play({
        "steps": [{"print": "\x00\xff not json {"}, {"print": {"text": "ab", "repeat": 2_500_000}}]
    })  # fmt: skip
    _, _, rest = played.stdout.partition(b"\n")
    assert rest.startswith(b"\x00\xff not json {" + b"ab" * 2_500_000 + b'{"type": "result"')


def test_it_can_delete_its_worktree(play, tmp_path):
    assert play({"steps": [{"delete": "."}]}).exit_code == 0
    assert not (tmp_path / "tree").exists()


def test_its_daemon_has_a_session_of_its_own_no_descriptors_and_no_environment(play, tmp_path):
    """Only so does it show whether a sandbox finds what hides."""
    found = {}
    seconds = 100_000.5 + os.getpid()

    def check():
        deadline = time.monotonic() + 20
        # While it starts, its loader opens libraries.
        while time.monotonic() < deadline and found.get("fds", True):
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if (folder / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                        found["pid"] = int(folder.name)
                        found["session"] = os.getsid(found["pid"])
                        found["fds"] = list((folder / "fd").iterdir())
                        found["env"] = (folder / "environ").read_bytes()
        (tmp_path / "tree" / "go").touch()

    watcher = threading.Thread(target=check)
    watcher.start()
    session = "cut -d' ' -f6 /proc/self/stat > session"
    played = play({"steps": [{"run": session}, {"daemon": seconds}, {"wait_for": "go"}]})
    watcher.join()
    assert played.exit_code == 0
    assert (found["fds"], found["env"]) == ([], b"")
    assert found["session"] != int((tmp_path / "tree" / "session").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(found["pid"], 0)


def test_a_hanging_agent_ends_when_it_is_asked_to(tmp_path):
    settings = load_settings({})
    job = AgentJob("a-1", AgentType.WORKER, ("steps: [{hang: true}]",), (), tmp_path, tmp_path)
    launch = build(settings).launch(job)
    spec = ProcessSpec("a-1", launch.argv, {}, tmp_path, launch.stdin)
    with process.build(settings).start(spec) as running:
        assert b"session" in running.read(20)[0].data
        running.terminate()
        while running.exit_code is None:
            running.read(20)
        assert running.exit_code == -signal.SIGTERM


def test_a_later_round_plays_the_next_steps_and_the_last_ones_again(play):
    script = yaml.safe_dump({"rounds": [[{"say": "one"}], [{"say": "two: {{feedback}}"}]]})
    first = play(script)
    assert first.signals[0] == SessionStarted("scripted-1")
    assert first.signals[-1].summary == "one"
    second = play(script, session_id="scripted-1", feedback="why")
    assert second.signals[0] == SessionStarted("scripted-2")
    assert second.signals[-1].summary == "two: why"
    third = play(script, session_id="scripted-2", feedback="again")
    assert third.signals[0] == SessionStarted("scripted-3")
    assert third.signals[-1].summary == "two: again"
    retried = play(script, session_id="scripted-2")
    assert retried.signals[0] == SessionStarted("scripted-2")
    assert play(script, session_id="$(id)").signals[-1].summary == "one"


def test_prose_plays_the_script_that_is_shipped(play, tmp_path):
    played = play("Fix the steps: *all* of them: now", work_items=("Fix: *x*", "And {{y}}."))
    assert played.exit_code == 0, played.stderr
    note = (tmp_path / "tree" / "agent-notes" / "a-1.md").read_text()
    assert "Fix: *x*\n\nAnd {{y}}." in note
    assert played.signals[-1].ok
    assert played.signals[-1].summary


def test_the_option_wins_over_the_work_items(play, tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("steps: [{say: from the file}]")
    played = play({"steps": [{"say": "from the item"}]}, option=script)
    assert played.signals[-1].summary == "from the file"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("steps: [{shout: x}]", "steps.0.shout: Extra inputs are not permitted"),
        ("steps: [{say: a, run: b}]", "a step does one of: say, write"),
        ("steps: [{}]", "a step does one of"),
        ("steps: 5", "steps: Input should be"),
        ("steps: [", "while parsing"),
        ("steps: [{sleep: -1}]", "greater than or equal to 0"),
        ("steps: []\nrounds: []", "rounds: "),
        ("rounds: [[]]\nsteps: []", "either steps or rounds"),
        ("steps: [{print: ☃}]", "steps.0.print.text"),
        ("steps: &a [*a]", "aliases are not supported"),
        ("steps: " + "[" * 5000, "recursion"),
    ],
)
def test_a_faulty_script_is_one_line_and_exit_2(play, script, complaint):
    played = play(script)
    assert (played.exit_code, played.stdout) == (2, b"")
    assert complaint in played.stderr
    assert played.stderr.count("\n") == 1


def test_a_script_file_that_is_not_there_is_told(play, tmp_path):
    played = play("x", option=tmp_path / "absent.yaml")
    assert played.exit_code == 2
    assert "absent.yaml" in played.stderr


@pytest.mark.parametrize(
    "line", [b"x", b"{}", b"null", b'{"type": "new"}', b'{"type": "message", "text": "cut']
)
def test_what_the_player_did_not_write_is_foreign(line):
    (signal,) = build(load_settings({})).signals(line)
    assert isinstance(signal, Foreign)


def test_a_wrong_field_of_the_player_is_lost_alone():
    line = b'{"type": "tokens", "id": "a", "input": -1, "output": 3}{"type": "result"}'
    reported, refused, result = build(load_settings({})).signals(line)
    assert reported == UsageReport("a", Usage(output_tokens=3))
    assert refused == FieldRefused("tokens.input: -1")
    assert result == Result(ok=True)
