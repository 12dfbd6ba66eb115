"""The table of phases agrees with the transitions, and no other module lists phases."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from orchestrator.api.http.static_files import asset, parts
from orchestrator.messages import GATES_QUEUE, QUEUE_OF_TASK, SPAWN_QUEUE
from orchestrator.models import Phase, Status
from orchestrator.models.state_machine import (
    ACTIVE,
    AWAITING_MESSAGE,
    AWAITING_SPAWN,
    FINAL,
    PHASES,
    WAITING,
    WITH_SLOT,
    restart_phase,
)

ROOT = Path(__file__).parents[3]
TABLE = ("orchestrator/models/state.py", "orchestrator/models/state_machine.py")
SOURCES = [
    path
    for path in sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("workers/**/*.py")])
    if str(path.relative_to(ROOT)) not in TABLE
]


def test_every_phase_stands_in_the_table_once_in_the_order_of_a_life():
    assert list(PHASES) == list(Phase)
    assert len({traits.label for traits in PHASES.values()}) == len(PHASES)


def test_an_agent_is_held_or_waits_or_has_ended():
    for phase, traits in PHASES.items():
        is_final = traits.statuses <= FINAL
        assert [traits.is_held, traits.is_waiting, is_final].count(True) == 1, phase
        assert traits.statuses <= ACTIVE or is_final, phase
        assert not traits.has_slot or traits.is_held, phase
        assert all(before in PHASES for before in traits.follows)


def test_the_sets_are_those_of_the_protocol():
    assert {Phase.QUEUED, Phase.AWAITING_GATES, Phase.AWAITING_REWORK} == WAITING
    assert {Phase.PREPARING, Phase.EXECUTING, Phase.CAPTURING} == WITH_SLOT
    assert WAITING | {Phase.ENDED} == AWAITING_MESSAGE
    assert {Phase.QUEUED, Phase.AWAITING_REWORK} == AWAITING_SPAWN
    assert {PHASES[phase].queue for phase in AWAITING_SPAWN} == {SPAWN_QUEUE}
    assert PHASES[Phase.AWAITING_GATES].queue == GATES_QUEUE
    assert {traits.awaits_task for traits in PHASES.values()} <= {"", *QUEUE_OF_TASK}


@pytest.mark.parametrize("phase", [phase for phase in Phase if PHASES[phase].is_active])
@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_another_attempt_begins_where_an_agent_waits(status, phase):
    if status not in PHASES[phase].statuses:
        return
    begins = restart_phase(status, phase)
    assert begins in WAITING
    assert status in PHASES[begins].statuses
    # What was with its gates stays with them; else the spawn pool goes on with it.
    assert PHASES[begins].is_gated == PHASES[phase].is_gated


def _phases_in(node):
    names = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "Phase"
    }
    texts = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
    return names | (texts & {str(phase) for phase in Phase if "-" in phase})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_lists_phases(path):
    collections = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BoolOp)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, collections):
            keys = (
                ast.Tuple([key for key in node.keys if key]) if isinstance(node, ast.Dict) else node
            )
            assert len(_phases_in(keys)) < 2, f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("orchestrator/api/static/*.js"), *ROOT.glob("orchestrator/store/lua/*.lua")],
    ids=lambda path: path.name,
)
def test_no_script_names_a_phase(path):
    quoted = re.findall(r"""["'`/]\^?([a-z][a-z-]+)""", path.read_text())
    allowed = {"ended"}  # a group of the page, and an answer of a script
    assert not {str(phase) for phase in Phase} & set(quoted) - allowed
    assert "awaiting-" not in path.read_text()


def test_pages_read_the_table_from_the_server():
    assert "phases.js" in parts()
    made = asset("phases.js").decode()
    for phase, traits in PHASES.items():
        waits = str(traits.is_waiting).lower()
        assert f'"{phase}": {{"label": "{traits.label}", "isWaiting": {waits}}}' in made
    for status in Status:
        assert f'"{status}": ' in made
