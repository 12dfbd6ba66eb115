"""What agents, requests and errors say cannot drive a terminal, hide, nor drown the rest."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import uuid

import pytest

from orchestrator import wiring
from orchestrator.cli.output.text import LINE_LIMIT, cut, one_line, plain, revealed
from orchestrator.errors import AgentFailed
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import Finding, GateProfile, GateReport, GateResult, GateStatus
from orchestrator.settings import load_settings
from orchestrator.store import changes
from tests.integration.cli.conftest import now, run_to, say

#: Scripts, colours, a cleared screen, a title, a link, the clipboard, a device string, C1 controls,
#: an overwritten line, a deleted sign, bidi and zero-width controls, NUL, a line of its own.
HOSTILE = (
    "<script>alert(1)</script>\x1b[31m\x1b[2J\x1b]0;PWNED\x07\x1b]8;;http://PWNED/\x1b\\link\x1b]8;;\x07"
    "\x1b]52;c;UFdORUQ=\x07\x1bPPWNED\x1b\\\x9b2J\x9d0;x\x9c\rover\b\x7f\u202eevil\u2066\u200b\x00\n"
    "12:00:00 forged [red]markup[/red]"
)
TEN_MB = "A" * 10_000_000
#: What rich itself sends: styles, the cursor shown and hidden, a line redrawn.
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[[0-9]*[AKG]|\r")


@pytest.fixture
def agent(store, tmp_path):
    """An agent that has said, spent and failed with nothing but hostile text."""
    holder = AgentLeases(store, now, lambda: str(uuid.uuid4()), "spawn@here", 30.0, "1:1")
    settings = load_settings({"ORCHESTRATOR_HOME": str(tmp_path / "home")})
    document = {
        "taskId": "t",
        "agentType": "worker",
        "context": {"repository": "/srv/\x1b[2Jx", "branch": "main", "workItems": [HOSTILE]},
    }
    agent_id = store.run(wiring.submit_service(settings).submit(document)).agent_id
    running = run_to(holder, agent_id)
    for text in (HOSTILE, TEN_MB, HOSTILE):
        say(store, running, text)
    holder.update(running, {"summary": HOSTILE, "branch": HOSTILE, "sessionId": HOSTILE})
    result = GateResult(name=HOSTILE, status=GateStatus.FAILED, command=HOSTILE, detail=HOSTILE)
    report = GateReport(
        agent_id=agent_id,
        attempt=1,
        stage="pre-commit",
        profile=GateProfile.STANDARD,
        tree=HOSTILE,
        plan_digest="d",
        approved=False,
        gates=(result,),
        findings=(Finding(kind="secret", path=HOSTILE, line=3, detail=HOSTILE),),
    )
    store.run(changes.append_report(report))
    holder.fail(running, AgentFailed(HOSTILE))
    return running


def on_terminal(orch, *arguments):
    """Run a command with a terminal at both outputs; returns what that was sent."""
    ours, theirs = pty.openpty()
    orch.env |= {"TERM": "xterm-256color", "COLUMNS": "100"}
    with orch.started(*arguments, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs):
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65_536)
            except OSError:
                break
    os.close(ours)
    return seen.decode()


COMMANDS = (
    ("ls",),
    ("ls", "--attention"),
    ("status",),
    ("status", "--watch"),
    ("inspect",),
    ("logs",),
    ("logs", "-f"),
    ("gates",),
    ("wait",),
    ("events", "--agent"),
    ("receipt",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_passes_a_control_to_a_terminal(orch, agent, command):
    seen = on_terminal(orch, *command, *([] if command[0] == "ls" else [agent.agent_id]))
    left = OURS.sub("", seen)
    assert {sign for sign in left if not sign.isprintable()} <= {"\n", "\t"}
    for trace in ("\x1b[2J", "UFdORUQ", "PWNED"):
        assert trace not in seen
    assert max(map(len, left.splitlines())) < 2 * LINE_LIMIT
    assert not re.search(r"^12:00:00 forged", left, re.MULTILINE)


def test_an_error_about_what_one_typed_is_as_safe(orch):
    seen = on_terminal(orch, "status", HOSTILE.replace("\0", ""))
    assert {sign for sign in OURS.sub("", seen) if not sign.isprintable()} <= {"\n"}
    assert "There is no agent" in seen


def test_piped_a_line_is_whole_and_json_is_exact(orch, agent):
    first, second, third, *_ = orch.run("logs", agent.agent_id).stdout.splitlines()
    assert "<script>alert(1)</script>" in first
    assert second.endswith("forged [red]markup[/red]")
    assert third.endswith(" " + TEN_MB)
    ran = orch.run("logs", agent.agent_id, "--json")
    assert [line["text"] for line in json.loads(ran.stdout)["lines"]] == [HOSTILE, TEN_MB, HOSTILE]
    assert ran.stdout.rstrip("\n").isprintable()
    # Whatever the environment says of colours, a pipe is a pipe.
    forced = orch.run("ls", FORCE_COLOR="1", TTY_COMPATIBLE="1").stdout
    assert "\x1b" not in forced
    assert forced == orch.run("ls", NO_COLOR="1").stdout


def test_without_colours_a_terminal_gets_none(orch, agent):
    orch.env["NO_COLOR"] = "1"
    seen = on_terminal(orch, "ls")
    assert agent.agent_id in seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)


def test_code_to_review_hides_nothing():
    """An unended title or a bidi control may not swallow or turn what follows."""
    assert revealed("a\x1b]0;b\u202ec\x00\td\né") == "a\\x1b]0;b\\u202ec\\x00\td\né"
    assert plain("\x1b]0;a\nb") == "0;a\nb"


def test_text_stays_on_its_line_and_in_its_width():
    assert one_line("a\r\nb\tc\u2028d") == "a b cd"
    assert cut("abcdef\nab", 3) == "abc … (3 more signs)\nab"
