"""What the captures of all attempts left out or retained stays named in the agent's state."""

from __future__ import annotations

import pytest

from orchestrator.models import AgentState, LeftOut, Phase, Retained
from orchestrator.store import agents, kills
from orchestrator.store.capture_reports import (
    MOST_LEFT_OUT,
    MOST_PATHS,
    record_apart,
    record_capture,
    record_continued,
)
from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing, to_json
from tests import script_calls

AGENT = "running"


@pytest.fixture
def agent(store: Store) -> Store:
    """A store in which the agent `running` runs its first attempt."""
    script_calls.seed(store)
    return store


def state(store: Store) -> AgentState:
    return store.run(agents.read(AGENT))


def at_attempt(store: Store, number: int, phase: str = "executing") -> None:
    """Let the agent be at a later attempt."""
    now_is = state(store).model_copy(update={"attempt": number, "phase": Phase(phase)})
    document = to_json(now_is.wire())
    store.run(command("SET", f"orchestrator:agent:{AGENT}", document, decode=nothing))


def left(*paths: str, reason: str = "ignored", count: int | None = None) -> LeftOut:
    return LeftOut(reason=reason, count=count or len(paths), paths=paths)


def shown(store: Store) -> list[tuple[int | None, str, int, tuple[str, ...]]]:
    return [(o.attempt, o.reason, o.count, o.paths) for o in state(store).left_out or ()]


def refs(store: Store) -> list[str]:
    return [one.ref for one in state(store).retained or ()]


def stash(number: int = 0) -> Retained:
    return Retained(ref=f"stash@{{{number}}}", commit="d" * 40, kind="stash")


# ── left out ────────────────────────────────────────────────────────────────────────────────


def test_the_next_attempt_keeps_what_the_dead_one_left_out(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, left_out=[left("a.ign"), left("p", reason="pipe")]))
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, left_out=[left("b.ign")], change="c" * 40))
    assert shown(agent) == [
        (2, "ignored", 1, ("b.ign",)),
        (1, "ignored", 1, ("a.ign",)),
        (1, "pipe", 1, ("p",)),
    ]


def test_a_report_without_anything_left_out_keeps_that_of_the_attempts_before(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, left_out=[left("a.ign")]))
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, change="c" * 40))
    assert shown(agent) == [(1, "ignored", 1, ("a.ign",))]


def test_a_late_report_of_an_earlier_attempt_keeps_that_of_the_newer_one(agent: Store) -> None:
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, left_out=[left("b")], unfinished=["a merge"]))
    agent.run(record_capture(AGENT, 1, left_out=[left("a")], unfinished=["a rebase"]))
    assert shown(agent) == [(2, "ignored", 1, ("b",)), (1, "ignored", 1, ("a",))]
    assert state(agent).unfinished == ("a merge",)


def test_the_second_report_of_an_attempt_replaces_its_first(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, left_out=[left("a"), left("b", reason="pipe")]))
    agent.run(record_capture(AGENT, 1, left_out=[left("c")]))
    assert shown(agent) == [(1, "ignored", 1, ("c",))]


def test_a_path_that_two_attempts_left_out_is_named_once(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, left_out=[left("a", "b", count=7), left("x", reason="y")]))
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, left_out=[left("a"), left("x", reason="y")]))
    assert shown(agent) == [
        (2, "ignored", 1, ("a",)), (2, "y", 1, ("x",)), (1, "ignored", 6, ("b",)),
    ]  # fmt: skip


@pytest.mark.parametrize("is_same_reason", [True, False])
def test_the_state_is_bounded_and_counts_everything(agent: Store, *, is_same_reason: bool) -> None:
    attempts = 101
    for number in range(1, attempts + 1):
        at_attempt(agent, number)
        reason = "ignored" if is_same_reason else f"reason {number}"
        paths = [f"{number}-{at}" for at in range(MOST_PATHS)]
        agent.run(record_capture(AGENT, number, left_out=[left(*paths, reason=reason)]))
    found = state(agent).left_out or ()
    assert len(found) == MOST_LEFT_OUT
    assert all(len(one.paths) <= MOST_PATHS for one in found)
    assert sum(one.count for one in found) == attempts * MOST_PATHS
    assert found[0].attempt == attempts


@pytest.mark.parametrize("most_paths", [2, 3])
def test_the_oldest_entry_joins_the_newest_of_its_reason_else_the_one_before_it(
    agent: Store, most_paths: int
) -> None:
    record = record_capture(AGENT, 1, left_out=[left("x", "y"), left("x", "z", reason="pipe")])
    what, report, *_ = script_calls.arguments_of(record)
    agent.run(script_calls.with_arguments(record, (what, report, 1, most_paths)))
    assert shown(agent) == [(1, "several reasons", 4, ("x", "y", "z")[:most_paths])]
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, left_out=[left("a"), left("b", reason="pipe")]))
    at_attempt(agent, 3)
    record = record_capture(AGENT, 3, left_out=[left("c"), left("d", reason="pipe")])
    what, report, *_ = script_calls.arguments_of(record)
    agent.run(script_calls.with_arguments(record, (what, report, 3, most_paths)))
    assert [entry[:3] for entry in shown(agent)] == [
        (3, "ignored", 1),
        (3, "pipe", 1),
        (2, "several reasons", 6),
    ]
    agent.run(script_calls.with_arguments(record, (what, report, 2, most_paths)))
    assert [entry[:3] for entry in shown(agent)] == [(3, "ignored", 1), (3, "several reasons", 7)]


def test_an_entry_joins_a_newer_one_of_its_reason(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, left_out=[left("a")]))
    at_attempt(agent, 2)
    record = record_capture(AGENT, 2, left_out=[left("b"), left("p", reason="pipe")])
    what, report, *_ = script_calls.arguments_of(record)
    agent.run(script_calls.with_arguments(record, (what, report, 2, 9)))
    assert shown(agent) == [(2, "ignored", 2, ("b", "a")), (2, "pipe", 1, ("p",))]


def test_an_ended_agent_gets_the_report_too(agent: Store) -> None:
    killed = agent.run(agents.read("killed"))
    agent.run(record_capture("killed", 1, left_out=[left("a")]))
    found = agent.run(agents.read("killed"))
    assert (found.status, found.phase) == (killed.status, killed.phase)
    assert found.left_out == (LeftOut(reason="ignored", count=1, paths=("a",), attempt=1),)
    assert agent.run(kills.has_receipt("killed"))


def test_an_agent_that_waits_goes_on_waiting(agent: Store) -> None:
    delayed = command("ZRANGE", "orchestrator:delayed", 0, -1, decode=list)
    before = agent.run(delayed)
    assert before
    agent.run(record_capture("delayed", 1, left_out=[left("a")]))
    assert agent.run(delayed) == before


def test_an_absent_agent_gets_no_record(agent: Store) -> None:
    assert agent.run(record_capture("nobody", 1)) == "absent"
    assert agent.run(agents.find("nobody")) is None


# ── retained ────────────────────────────────────────────────────────────────────────────────


def test_a_bundle_replaces_what_was_retained_and_a_report_without_one_does_not(
    agent: Store,
) -> None:
    agent.run(record_capture(AGENT, 1, change="c" * 40, retained=[stash()]))
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, left_out=[left("a")]))
    assert refs(agent) == ["stash@{0}"]
    agent.run(record_capture(AGENT, 2, change="e" * 40, retained=[stash(1)]))
    assert refs(agent) == ["stash@{1}"]
    agent.run(record_capture(AGENT, 2, change="e" * 40))
    assert refs(agent) == []


def test_the_bundle_of_an_earlier_attempt_gets_an_entry_of_its_own(agent: Store) -> None:
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, change="e" * 40, retained=[stash()]))
    for _ in range(2):
        agent.run(record_capture(AGENT, 1, change="c" * 40, retained=[stash(4)]))
    assert refs(agent) == ["stash@{0}", "attempt-1"]
    at_attempt(agent, 3)
    agent.run(record_capture(AGENT, 3, change="f" * 40))
    assert refs(agent) == ["attempt-1"]


@pytest.mark.parametrize("phase", ["awaiting-rework", "queued", "preparing"])
def test_the_attempt_that_continues_from_it_ends_the_entry(agent: Store, phase: str) -> None:
    at_attempt(agent, 3, phase)
    agent.run(record_capture(AGENT, 1, change="c" * 40, retained=[stash()]))
    assert refs(agent) == ["stash@{0}", "attempt-1"]
    agent.run(record_continued(AGENT, 1, "c" * 40))
    assert refs(agent) == ["stash@{0}"]
    # What is stored after the attempt has started is not in it.
    at_attempt(agent, 3, "executing")
    agent.run(record_capture(AGENT, 1, change="b" * 40))
    assert refs(agent) == ["stash@{0}", "attempt-1"]


def test_a_newer_attempt_with_a_bundle_keeps_its_own_commits(agent: Store) -> None:
    at_attempt(agent, 2)
    agent.run(record_capture(AGENT, 2, change="e" * 40, retained=[stash()]))
    at_attempt(agent, 4, "preparing")
    agent.run(record_capture(AGENT, 1, change="c" * 40, retained=[stash(4)]))
    assert refs(agent) == ["stash@{0}", "attempt-1"]


def test_another_change_of_that_attempt_stays(agent: Store) -> None:
    at_attempt(agent, 2, "preparing")
    agent.run(record_capture(AGENT, 1, change="c" * 40))
    agent.run(record_continued(AGENT, 1, "b" * 40))
    assert refs(agent) == ["attempt-1"]


def test_a_change_from_which_no_attempt_can_continue_gets_an_entry(agent: Store) -> None:
    agent.run(record_capture(AGENT, 1, change="c" * 40, retained=[stash()]))
    at_attempt(agent, 2, "preparing")
    agent.run(record_apart(AGENT, 1, "c" * 40))
    assert refs(agent) == ["attempt-1"]
    agent.run(record_capture(AGENT, 2, change="e" * 40, retained=[stash(1)]))
    assert refs(agent) == ["stash@{1}", "attempt-1"]
