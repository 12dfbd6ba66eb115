"""Who needs somebody, by rules that read nothing: each case, and the number in line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors.tree import OrchestratorError
from orchestrator.models import BudgetLimits, Phase, Status
from orchestrator.models.attention import WaitingFor
from orchestrator.queries import attention
from orchestrator.queries.attention import AttentionContext, explain
from tests.attention_cases import AGENT, CASES, NOW, QUEUED, Case

LIMITS = BudgetLimits(
    mode="hard", daily_tokens=10_000_000, agent_tokens=2_000_000, reservation_tokens=10_000,
    concurrency=10, time_s=7200.0, changed=(),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_said_as_the_table_says(case):
    found = explain(case.agent, AttentionContext(**{"limits": LIMITS, **case.around}), NOW)
    rank, code, words, command = case.expected
    assert (found.rank, found.code) == (rank, code)
    assert words in found.why
    assert found.command == command.replace("ID", AGENT)


def waiting(**around):
    return explain(Case("", (None, "", "", ""), QUEUED).agent, AttentionContext(**around), NOW)


@pytest.mark.parametrize(
    ("around", "waits_for", "place", "words"),
    [
        ({"rank_for_slot": 3, "limits": LIMITS}, WaitingFor.SLOT, 3, "all 10 slots are in use"),
        ({"due_at": NOW + timedelta(minutes=1)}, WaitingFor.RETRY, None, "next attempt starts at"),
        ({"due_at": NOW - timedelta(minutes=1)}, WaitingFor.WORKER, None, "a worker of the queue"),
        ({"has_worker": False}, WaitingFor.WORKER, None, "no worker serves the queue spawn"),
        ({"has_worker": True, "place_in_queue": 7}, WaitingFor.WORKER, 7, "it is number 7 in line"),
    ],
)
def test_whom_nobody_needs_is_told_what_it_waits_for_and_where_it_stands(
    around, waits_for, place, words
):
    found = waiting(**around)
    assert found.rank is None
    assert (found.waiting_for, found.place_in_line) == (waits_for, place)
    assert words in found.why


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("phase", Phase)
def test_every_agent_is_explained_and_has_one_command(status, phase):
    agent = Case("", (None, "", "", ""), {"status": status, "phase": phase}).agent
    found = explain(agent, AttentionContext(), NOW)
    assert found.why
    assert found.command.startswith("orch ")


def test_the_commands_are_of_errors_that_there_are():
    def codes(kind):
        yield kind.code
        for below in kind.__subclasses__():
            yield from codes(below)

    assert set(attention._COMMANDS) <= set(codes(OrchestratorError))
