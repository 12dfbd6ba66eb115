"""Each phase and round leaves an event with its reason, as the schema of its type says."""

from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest

from orchestrator.errors import LeaseLost
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.models.event_schemas import EVENTS, event_schema
from orchestrator.store import agents
from orchestrator.store.events import read_stored
from orchestrator.wiring import clock, new_id
from tests.integration.conftest import System
from tests.integration.test_cli_ids import spawn

VERDICT = {
    "approved": False,
    "profile": "standard",
    "tree": "t" * 40,
    "planDigest": "d",
    "gates": {"lint": "passed", "tests": "failed", "coverage": "missing"},
}


@pytest.fixture
def holder(store):
    return AgentLeases(store, clock, new_id, "spawn@here", 30.0, "1:1")


def documents(store):
    """Return all events; each is as its schema says."""
    schema = event_schema()
    found = [json.loads(one.document) for one in store.run(read_stored(after="0-0", count=5000))]
    for event in found:
        jsonschema.validate(event, {**schema, "oneOf": [{"$ref": f"#/$defs/{event['type']}"}]})
    return found


def phases(store):
    moves = [event for event in documents(store) if event["type"] == "agent.phase"]
    return [(one["from"], one["to"], one["round"], one.get("reason", "")) for one in moves]


def test_a_rejected_and_mended_agent_tells_each_phase_and_round(store, holder):
    agent_id = spawn(store)
    agent = holder.start(holder.claim(agent_id), base_commit="b" * 40)
    holder.enqueue_for_gates(agent, {}, b"change")
    holder.request_rework(holder.claim_for_gates(agent_id, agent.attempt), {"verdict": VERDICT})
    agent = holder.start(holder.claim(agent_id), base_commit="b" * 40)
    holder.enqueue_for_gates(agent, {}, b"change")
    gated = holder.update(holder.claim_for_gates(agent_id, agent.attempt), {"phase": "delivering"})
    holder.complete(gated, {})
    assert phases(store) == [
        ("queued", "preparing", 1, ""),
        ("preparing", "executing", 1, ""),
        ("executing", "awaiting-gates", 1, ""),
        ("awaiting-gates", "gating", 1, ""),
        ("gating", "awaiting-rework", 2, "rejected by tests, coverage"),
        ("awaiting-rework", "preparing", 2, ""),
        ("preparing", "executing", 2, ""),
        ("executing", "awaiting-gates", 2, ""),
        ("awaiting-gates", "gating", 2, ""),
        ("gating", "delivering", 2, ""),
    ]
    kinds = [event["type"] for event in documents(store) if event["type"] != "agent.phase"]
    assert kinds == ["agent.spawning", "agent.running", "agent.completed"]


def test_a_lost_attempt_says_why_it_goes_back(store, holder):
    agent_id = spawn(store)
    agent = holder.start(holder.claim(agent_id), base_commit="b" * 40)
    holder.apply(agent, Reschedule(LeaseLost("The host\nis gone."), counts=True))
    assert phases(store)[-1] == ("executing", "awaiting-rework", 1, "The host is gone.")
    (recovering,) = (one for one in documents(store) if one["type"] == "agent.recovering")
    assert (recovering["reason"], recovering["reasonCode"]) == ("The host is gone.", "lease_lost")


def test_a_step_that_stays_in_its_phase_or_is_refused_leaves_none(store, holder):
    agent = holder.start(holder.claim(spawn(store)), base_commit="b" * 40)
    before = len(documents(store))
    holder.update(agent, {"sessionId": "s"})
    holder.start(agent, base_commit="b" * 40)
    assert [one["type"] for one in documents(store)[before:]] in ([], ["agent.running"])
    assert holder.claim(agent.agent_id) is None
    assert store.run(agents.read(agent.agent_id)).phase == "executing"


def test_a_real_agent_that_is_rejected_once_shows_its_whole_way(system: System, remote, script):
    """From the command line, as an operator reads it."""
    broken = script({"write": {"path": "calc.py", "content": "broken"}})
    agent_id = system.spawn(remote, broken, max_retries="1")
    system.wait(agent_id)
    ran: subprocess.CompletedProcess[str] = system.orch("events", "--agent", agent_id, "--json")
    events = json.loads(ran.stdout)["events"]
    reasons = [event.get("reason") for event in events if event["type"] == "agent.phase"]
    assert "rejected by tests" in reasons
    rounds = [event["round"] for event in events if event["type"] == "agent.phase"]
    assert (rounds[0], rounds[-1]) == (1, 2)
    text = system.orch("events", "--agent", agent_id, "--type", "agent.phase").stdout
    assert "from=gating to=awaiting-rework round=2 reason=rejected by tests" in text


def test_every_type_of_event_has_a_schema_and_a_purpose():
    schema = event_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {ref["$ref"].rpartition("/")[2] for ref in schema["oneOf"]} == set(EVENTS)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"type": "agent.phase"}, schema)
