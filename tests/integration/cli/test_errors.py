"""Errors of commands: with the code of docs/errors.md, and with --json one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.errors import PushFailed
from tests.conftest import free_port
from tests.integration.test_cli_ids import fail, holder, orch, spawn

__all__ = ["holder", "orch"]

CODES = (Path(__file__).parents[3] / "docs" / "errors.md").read_text()


def code_in(text):
    line = text.rstrip("\n").rpartition("\n")[2]
    assert line.endswith("]"), text
    code = line.rpartition("[")[2][:-1]
    assert f"| `{code}` |" in CODES
    return code


def error_in(text):
    """The one document that is all of standard error."""
    assert text.count("\n") == 1, text
    document = json.loads(text)
    assert f"| `{document['errorCode']}` |" in CODES
    return document


CASES = [
    (["status", "nobody-here"], "not_found", 1),
    (["logs", "nobody-here"], "not_found", 1),
    (["why", "nobody-here"], "not_found", 1),
    (["diff", "nobody-here"], "not_found", 1),
    (["export", "nobody-here"], "not_found", 1),
    (["retry", "nobody-here"], "not_found", 1),
    (["kill", "nobody-here"], "not_found", 1),
    (["ack", "nobody-here"], "not_found", 1),
    (["gates", "nobody-here"], "not_found", 1),
    (["receipt", "nobody-here"], "not_found", 1),
    (["queues", "pause", "nothing"], "not_found", 1),
    (["ls", "--cursor", "nobody-here"], "cursor_unknown", 2),
    (["budget", "set", "daily", "0"], "limit_invalid", 2),
]


@pytest.mark.parametrize(("given", "code", "exit_code"), CASES, ids=str)
def test_a_code_is_in_the_line_and_in_the_document(orch, store, given, code, exit_code):
    spawn(store)
    assert code_in(orch(*given, code=exit_code).stderr) == code
    if given[0] in {"diff", "export"} or code:
        found = error_in(orch(*given, "--json", code=exit_code).stderr)
        assert (found["errorCode"], found["exitCode"]) == (code, exit_code)
        assert found["error"]


def test_an_invalid_request_names_each_fault(orch):
    made = ("spawn", "--repo", "/srv/x", "--branch", "m", "--item", "x", "--task", "t")
    wrong = ("--priority", "99", "--max-retries", "-1")
    said = orch(*made, *wrong, code=2).stderr
    assert code_in(said) == "request_invalid"
    found = error_in(orch(*made, *wrong, "--json", code=2).stderr)
    assert {one["path"] for one in found["errors"]} == {"priority", "maxRetries"}


@pytest.mark.parametrize(
    "given",
    [
        ["status", "--json"],
        ["ls", "--json", "--status", "nothing"],
        ["ls", "--status", "nothing", "--json"],
        ["budget", "set", "daily", "--json"],
        ["no-such-command", "--json"],
        ["events", "--json", "--no-such-option"],
    ],
)
def test_a_refused_command_line_is_json_too(given):
    ran = CliRunner().invoke(main, given, prog_name="orch")
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert error_in(ran.stderr)["errorCode"] == "request_invalid"


def test_json_after_two_dashes_is_a_value():
    ran = CliRunner().invoke(main, ["no-such-command", "--", "--json"], prog_name="orch")
    assert ran.exit_code == 2
    assert ran.stderr.startswith("Usage: ")


def test_of_several_agents_the_failures_are_one_document(orch, store, holder):
    done, waits = spawn(store), spawn(store)
    fail(holder, done, PushFailed())
    ran = orch("kill", done, waits, "nobody-here", "--json", code=1)
    listed = json.loads(ran.stdout)["agents"]
    assert [one.get("errorCode") for one in listed] == ["agent_ended", None, "not_found"]
    found = error_in(ran.stderr)
    assert found["error"] == "2 of 3 agents failed."
    assert [one["agentId"] for one in found["agents"]] == [done, "nobody-here"]
    # A failed agent's own code is no failure of the command.
    assert orch("status", done, waits, "--json").stderr == ""
    assert "[agent_ended]" in orch("kill", done, waits, code=1).stderr


@pytest.mark.parametrize("verb", [["ls"], ["budget"], ["kill-all", "--yes"], ["status", "x"]])
def test_a_valkey_that_is_away_is_one_document(verb, monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("VALKEY_URL", f"redis://127.0.0.1:{free_port()}/0")
    ran = CliRunner().invoke(main, [*verb, "--json"], prog_name="orch")
    assert ran.exit_code == 7
    found = error_in(ran.stderr)
    assert found["errorCode"] == "valkey_unreachable"
    assert ("--local" in found["error"]) is (verb[0] == "kill-all")
