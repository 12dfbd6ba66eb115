"""The Coordinator's word: a clear yes approves, everything else does not. A real HTTP double."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import CoordinatorRefused, CoordinatorUnavailable
from orchestrator.gates.coordinator import TRIES, CheckRequest, Coordinator
from orchestrator.models import Stage
from tests.doubles.coordinator import Double

ASKED = CheckRequest(
    task_id="t",
    agent_id="a",
    files=("calc.py",),
    diff_summary="calc.py | 1 +",
    stage=Stage.PRE_COMMIT,
    gates=("tests",),
)
YES = json.dumps({"approved": True, "gate": "all", "more": 1})


@pytest.fixture
def double():
    with Double() as server:
        yield server


@pytest.fixture
def waits():
    return []


@pytest.fixture
def coordinator(double, waits):
    client = Coordinator(double.url, try_timeout_s=3, sleep=waits.append)
    yield client
    client._session.close()


def test_a_yes_is_a_yes_over_one_connection(double, coordinator):
    double.answers = [(200, {}, YES)]
    assert coordinator.check(ASKED).approved
    assert coordinator.check(ASKED).approved
    assert double.connections == 1
    assert double.bodies[0] == {
        "taskId": "t",
        "agentId": "a",
        "files": ["calc.py"],
        "diffSummary": "calc.py | 1 +",
        "stage": "pre-commit",
        "gates": ["tests"],
    }


def test_a_no_is_an_answer_with_its_message(double, coordinator):
    double.answers = [(200, {}, '{"approved": false, "message": "too large"}')]
    answer = coordinator.check(ASKED)
    assert (answer.approved, answer.message) == (False, "too large")
    assert len(double.bodies) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_is_asked_again_while_it_is_busy(double, coordinator, waits, status):
    double.answers = [(status, {}, ""), (status, {"Retry-After": "7"}, ""), (200, {}, YES)]
    assert coordinator.check(ASKED).approved
    assert len(double.bodies) == TRIES
    assert len(waits) == TRIES - 1
    assert waits[1] >= 7


def test_busy_for_ever_is_unavailable(double, coordinator):
    double.answers = [(500, {}, "")]
    with pytest.raises(CoordinatorUnavailable, match="500"):
        coordinator.check(ASKED)
    assert len(double.bodies) == TRIES


def test_one_that_never_answers_is_unavailable(double, coordinator):
    double.answers = [(0, {}, "")]
    with pytest.raises(CoordinatorUnavailable):
        coordinator.check(ASKED)


def test_one_that_is_not_there_is_unavailable(unused_port, waits):
    with pytest.raises(CoordinatorUnavailable, match="does not answer"):
        Coordinator(f"http://127.0.0.1:{unused_port}", sleep=waits.append).check(ASKED)
    assert len(waits) == TRIES - 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>sign in</html>"),
        (200, ""),
        (200, "[]"),
        (200, "true"),
        (200, '{"approved": "true"}'),
        (200, '{"approved": 1}'),
        (200, '{"ok": true}'),
        (200, '{"approved": true, "message": ' + "[" * 100_000),
        (200, '{"approved": true, "message": "' + "x" * 2**20 + '"}'),
        (201, YES),
        (204, ""),
        (302, YES),
        (401, YES),
        (404, YES),
    ],
)
def test_everything_else_is_no_approval_and_not_asked_again(double, coordinator, status, body):
    double.answers = [(status, {"Location": f"{double.url}/api/quality/check"}, body)]
    with pytest.raises(CoordinatorRefused):
        coordinator.check(ASKED)
    assert len(double.bodies) == 1
