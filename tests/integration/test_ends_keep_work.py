"""Whatever ends an attempt, what stood in its worktree is stored or the state names it."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import AgentFailed, OrchestratorError
from tests.integration.ending import EVERY, STEPS, Fault, ends, make_error

MADE = json.dumps({"steps": [{"write": {"path": "made.txt", "content": "made\n"}}, {"say": "x"}]})
#: A backend that raises one of these cannot read the line, which is then no result.
UNREADABLE = (AgentFailed, ValueError, TypeError, LookupError)
#: Each class at one step, each step with several; the whole product is for the soak.
CASES = [
    (kind, step)
    for kind, number in ends()
    for place, step in enumerate(STEPS)
    if EVERY or kind is RuntimeError or place == number % len(STEPS)
]


@pytest.mark.parametrize(
    ("kind", "step"), [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}") for case in CASES]
)
def test_an_error_of_any_class_at_any_step_keeps_the_work(host, kind, step):
    agent_id = host.spawn(MADE)
    fault = Fault(step, make_error(kind))
    state = host.run(agent_id, fault)
    assert fault.met == 1
    kept = host.stored(agent_id)
    assert kept["hook.txt"] == "hook"
    if step not in ("preparation", "launch"):
        assert kept["made.txt"] == "made"
    assert state.not_saved is None
    assert host.workspaces() == []
    if state.status == "failed":
        code = kind.code if issubclass(kind, OrchestratorError) else "internal_error"
        if step == "result" and issubclass(kind, UNREADABLE):
            code = "agent_garbled"
        assert state.error_code == code
