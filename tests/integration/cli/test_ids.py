"""Ids everywhere: several and `-` for each command of one agent, prefixes, and mistyped ones."""

from __future__ import annotations

import json

import httpx
import pytest

from orchestrator.models import LogLine
from orchestrator.queries.agent_list import _is_meant
from orchestrator.store import agent_logs
from orchestrator.wiring import clock
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import holder, orch, spawn

__all__ = ["holder", "orch"]

ID = "abcdef01-2345-4000-8000-000000000001"


def test_logs_gates_events_and_audit_take_several(orch, store, holder):
    ids = [spawn(store) for _ in range(2)]
    for number, name in enumerate(ids):
        agent = holder.start(holder.claim(name), base_commit="b" * 40)
        line = LogLine(at=clock(), source="agent", text=f"line {number}")
        assert store.run(agent_logs.append_log(name, agent.attempt, [line], cap=10))
    typed = "\n".join(ids)
    shown = orch("logs", "-", stdin=typed).stdout
    for number, name in enumerate(ids):
        assert shown.index(f"# agent {name}") < shown.index(f"line {number}")
    found = json.loads(orch("logs", *ids, "--json").stdout)["agents"]
    assert [one["lines"][0]["text"] for one in found] == ["line 0", "line 1"]
    assert "# agent" not in orch("logs", ids[0]).stdout
    assert "-f follows one" in orch("logs", "-f", "-", code=2, stdin=typed).stderr
    assert [one["reports"] for one in json.loads(orch("gates", *ids, "--json").stdout)["agents"]]
    some = json.loads(orch("events", "--agent", "-", "--json", stdin=typed).stdout)["events"]
    assert {one["agentId"] for one in some} == set(ids)
    alone = json.loads(orch("events", "--agent", ids[0], "--json").stdout)["events"]
    assert {one["agentId"] for one in alone} == {ids[0]}
    orch("halt")
    audit = ("audit", "--agent", ids[0], "--agent", ids[1], "--json")
    entries = json.loads(orch(*audit).stdout)["entries"]
    assert {one["agentId"] for one in entries} == set(ids)
    assert [one["seq"] for one in entries] == sorted(one["seq"] for one in entries)


def test_six_characters_are_needed_everywhere(orch, store):
    agent_id = spawn(store, ID)
    for verb in ("status", "logs", "why", "gates"):
        said = orch(verb, agent_id[:5], code=1).stderr
        assert "has at least 6 characters" in said
        assert orch(verb, agent_id[:6])


@pytest.mark.parametrize("verb", ["status", "kill", "logs", "why", "diff", "retry"])
def test_an_id_that_is_no_text_is_refused_in_one_line(orch, store, verb):
    """Bytes of a shell that are not UTF-8 ended the command with a traceback."""
    said = orch(verb, "agent-\udcff", code=1).stderr
    assert "agent-\\udcff" in said
    assert said.rstrip().endswith("[argument_refused]")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "typed",
    [
        ID.upper(), "abcdef02", "abcdf01", "abcdeef01", "abcedf01-2345", "bbcdef01-2345",
        ID[:-1] + "2", ID + "1", ID[1:], ID.replace("4000", "400"),
    ],
)  # fmt: skip
def test_a_mistyped_id_is_named(orch, store, typed):
    spawn(store, ID)
    spawn(store, "99999999-2345-4000-8000-000000000001")
    said = orch("status", typed, code=1).stderr
    assert f"Did you mean {ID}?" in said


@pytest.mark.parametrize("typed", ["abcdxx01", "01abcdef", "nobody", "zzzzzz", "abcdef01-9945"])
def test_what_is_far_from_every_id_names_none(typed):
    assert not _is_meant(typed, ID)


def test_over_http_paths_and_the_audit_take_prefixes(store, valkey_url):
    spawn(store, ID)
    with serving(valkey_url) as (client, _):
        assert client.post(f"/agents/{ID[:6]}/kill").status_code == 200
        for path in ("status", "request", "why", "gates", "logs", "timeline", "receipt"):
            answer = client.get(f"/agents/{ID[:6]}/{path}")
            assert answer.status_code == 200, (path, answer.text)
        entries = client.get(f"/audit?agentId={ID[:6]}").json()["entries"]
        assert {one["agentId"] for one in entries} == {ID}
        assert client.get("/audit?agentId=gone-agent").json()["entries"] == []
        refused: httpx.Response = client.get("/agents/abcdef02/status")
        assert refused.status_code == 404
        assert f"Did you mean {ID}?" in refused.json()["detail"]
