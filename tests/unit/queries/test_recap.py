"""What a recap counts, to whom it charges tokens, and what it says about kills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.cli.output.recap_text import recap_page, recap_tables
from orchestrator.models import (
    AgentState,
    AgentType,
    GateProfile,
    Phase,
    Receipt,
    Status,
    Usage,
    Verdict,
)
from orchestrator.models.recap import Recap
from orchestrator.queries.recap import belongs, recap

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SINCE = NOW - timedelta(hours=12)
APPROVED = Verdict(approved=True, profile=GateProfile.STANDARD, tree="t", plan_digest="d")
REJECTED = Verdict(approved=False, profile=GateProfile.STANDARD, tree="t", plan_digest="d")


def agent(name: str, status: Status = Status.COMPLETED, **facts: Any) -> AgentState:
    known: dict[str, Any] = {
        "agent_id": name,
        "task_id": f"t-{name}",
        "status": status,
        "phase": Phase.ENDED,
        "agent_type": AgentType.WORKER,
        "agent": "scripted",
        "repository": "/srv/shop.git",
        "base_branch": "main",
        "gate_profile": GateProfile.STANDARD,
        "priority": 5,
        "max_retries": 3,
        "attempt": 1,
        "spawned_at": NOW - timedelta(hours=2),
        "started_at": NOW - timedelta(hours=2) + timedelta(seconds=3),
        "completed_at": NOW - timedelta(hours=1),
    }
    return AgentState(**{**known, **facts})


def pushed(name: str, tokens: int = 0, **facts: Any) -> AgentState:
    used = Usage(total_tokens=tokens, cost_usd=facts.pop("cost_usd", None))
    return agent(name, branch=f"agent/{name}", commit="c" * 40, usage=used, **facts)


def made(*agents: AgentState, receipts: dict[str, Receipt] | None = None) -> Recap:
    return recap(agents, receipts or {}, since=SINCE, until=NOW, need_attention=0)


def test_an_agent_belongs_if_it_ended_since_then_or_has_not_ended():
    early = {"spawned_at": SINCE - timedelta(days=2), "started_at": SINCE - timedelta(days=1)}
    assert belongs(agent("a", **early), SINCE)
    assert not belongs(agent("a", **early, completed_at=SINCE - timedelta(seconds=1)), SINCE)
    assert belongs(agent("a", Status.RUNNING, **early, completed_at=None), SINCE)


def test_pushed_unchanged_rejected_and_failed_agents_are_told_apart():
    found = made(
        pushed("a"),
        agent("b"),
        agent("c", Status.FAILED, error_code="gates_rejected", verdict=REJECTED),
        agent("d", Status.FAILED, error_code="push_failed", verdict=REJECTED, branch="agent/d"),
        # Its change was approved, and could not be pushed.
        agent("e", Status.FAILED, error_code="push_failed", verdict=APPROVED),
        agent("f", Status.RUNNING, completed_at=None),
    )
    assert [one.agent_id for one in found.delivered] == ["a"]
    assert (found.unchanged, found.rejected, found.ended, found.active) == (1, 2, 5, 1)
    assert list(found.failures.items()) == [("push_failed", 2), ("gates_rejected", 1)]


def test_tokens_of_failed_agents_are_part_of_the_price_of_a_delivery():
    wasted = {"usage": Usage(total_tokens=500)}
    found = made(
        pushed("a", 100, cost_usd=0.5),
        agent("b", Status.FAILED, **wasted),
        agent("c", Status.FAILED, repository="/srv/x.git", **wasted),
    )
    shop, other = found.repositories
    assert (shop.repository, shop.tokens, shop.tokens_per_delivery) == ("/srv/shop.git", 600, 600)
    assert (shop.cost_usd, other.cost_usd, other.tokens_per_delivery) == (0.5, None, None)
    assert (found.tokens, found.cost_usd) == (1100, 0.5)


def test_the_longest_waits_come_first_also_those_that_go_on():
    waiting = {"started_at": None, "completed_at": None, "waiting_for": "disk"}
    found = made(
        *(pushed(f"a{number}") for number in range(6)),
        agent("w", Status.SPAWNING, **waiting),
        # Its clock is behind that of the host that spawned it.
        agent("x", started_at=NOW - timedelta(hours=3)),
    )
    first, *others = found.slowest_waits
    assert (first.agent_id, first.waited_s, first.waiting_for) == ("w", 7200, "disk")
    assert [one.waited_s for one in others] == [3, 3, 3, 3]


def test_a_kill_shows_its_proof_or_why_there_is_none():
    base = {"by": "ann", "why": "night", "requested_at": NOW, "attempt": 1}
    before = {"status_before": Status.RUNNING, "phase_before": Phase.EXECUTING}
    receipts = {
        "a": Receipt(agent_id="a", **base, **before, confirmed=True, proof="supervisor"),
        "b": Receipt(agent_id="b", **base, **before, unproven="its marks were wiped"),
        "c": Receipt(agent_id="c", **base, **before),
    }
    found = made(*(agent(name, Status.KILLED) for name in "abcd"), receipts=receipts)
    told = [(one.confirmed, one.proof) for one in found.kills]
    assert told == [
        (True, "supervisor"),
        (False, "its marks were wiped"),
        (False, "not confirmed yet"),
        (False, "the receipt is gone"),
    ]


def test_text_of_an_agent_is_neither_markup_nor_control_characters_in_the_page():
    hostile = "<script>alert(1)</script>\x1b[2J"
    page = recap_page(made(pushed("a", task_id=hostile, repository=hostile)))
    assert "<script" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;") == 4


def test_a_fleet_without_agents_has_a_recap_of_zeros():
    assert [title for title, _, _ in recap_tables(made())][1:] == [
        "Failed: 0, of which the gates rejected 0",
        "Killed: 0, 0 confirmed",
        "Spent by repository",
        "Longest waits for the first start",
        "Delivered: 0",
    ]
