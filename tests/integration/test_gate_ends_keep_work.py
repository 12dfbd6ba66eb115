"""Whatever ends an agent in its gates, its change stays stored, and a retry goes on from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.models.state_machine import FINAL
from orchestrator.wiring import submit_service
from tests.integration.ending import EVERY, ends, make_error
from tests.integration.test_ends_keep_work import MADE

STEPS = ("receive", "run gates", "find secrets", "reconcile", "deliver")
CASES = [
    pytest.param(kind, step, id=f"{kind.__name__}-{step}")
    for kind, number in ends()
    for place, step in enumerate(STEPS)
    if EVERY or kind is RuntimeError or place == number % len(STEPS)
]


class Fails:
    """A part of the gate stage, of which one method fails."""

    def __init__(self, part: object, method: str, error: Exception) -> None:
        self._part, self._method, self._error = part, method, error

    def __getattr__(self, name: str) -> object:
        if name != self._method:
            return getattr(self._part, name)

        def fail(*_given: object, **_named: object) -> None:
            raise self._error

        return fail


def failing(gates, step, error):
    match step:
        case "receive":
            return replace(gates, candidates=Fails(gates.candidates, "received", error))
        case "run gates":
            return replace(gates, gate_runner=Fails(gates.gate_runner, "run", error))
        case "find secrets":
            return replace(gates, secrets=Fails(gates.secrets, "find", error))
        case "reconcile":
            return replace(gates, delivery=Fails(gates.delivery, "reconcile", error))
        case _:
            return replace(gates, delivery=Fails(gates.delivery, "deliver", error))


@pytest.mark.parametrize(("kind", "step"), CASES)
def test_an_error_of_any_class_at_any_step_of_the_gates_keeps_the_change(host, kind, step):
    agent_id = host.spawn(MADE)
    host.run(agent_id)
    services = host.services
    failing(services.gate_check, step, make_error(kind)).run(agent_id, 1)
    state = host.state(agent_id)
    assert host.stored(agent_id)["made.txt"] == "made"
    if state.status not in FINAL:
        # Another attempt goes on: its gates find the change of this one.
        assert state.change_attempt == 1
        return
    code = kind.code if issubclass(kind, OrchestratorError) else "internal_error"
    assert state.error_code == code
    services.cleanup.run(agent_id)
    assert host.stored(agent_id)["made.txt"] == "made"
    retried = host.store.follow(
        submit_service(host.settings).retry(
            agent_id, is_afresh=False, retain_s=60, by="ann", why=""
        )
    )
    assert host.stored(retried.agent_id)["made.txt"] == "made"
    assert host.state(retried.agent_id).continues_attempt == 0
