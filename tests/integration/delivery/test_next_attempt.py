"""An attempt that was lost, stopped or stalled continues from what it had done."""

from __future__ import annotations

import threading

import pytest

from orchestrator.models import Status
from orchestrator.store import agent_transitions, changes
from orchestrator.store.events import read_events
from tests.integration.conftest import git
from tests.processes import eventually


def test_an_attempt_that_lost_its_worker_is_gone_on_with_from_its_checkpoint(lab, remote):
    """The worker dies without a word; what stood at its last checkpoint is there again."""
    one = lab(ORCHESTRATOR_CHECKPOINT="200ms")
    agent_id = one.spawn(
        remote,
        {"run": "[ -e begun ] || { echo 1 > begun; exec sleep 600; }"},
        {"run": "echo 2 > done"},
    )
    worker = threading.Thread(target=one.work, args=(agent_id,))
    worker.start()
    eventually(lambda: one.store.run(changes.has_change(agent_id, 1)))
    holder = one.services.runner.holder
    # As the sweep does once the lease has ended.
    step = agent_transitions.recover(
        one.state(agent_id), continues=1, counts=True, delay_s=0, now=holder.clock(), tag="t"
    )
    one.store.run(step)
    worker.join()
    assert one.state(agent_id).phase == "awaiting-rework"
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.recoveries) == (Status.COMPLETED, 1), agent.error
    assert git("show", f"{agent.commit}:begun", cwd=remote) == "1"
    assert git("show", f"{agent.commit}:done", cwd=remote) == "2"


def test_a_worker_that_stops_hands_its_agent_on_with_all_it_had_done(lab, remote):
    one = lab()
    step = {"run": "[ -e begun ] || { echo 1 > begun; exec sleep 600; }"}
    agent_id = one.spawn(remote, step)
    worker = threading.Thread(target=one.work, args=(agent_id,))
    worker.start()
    begun = one.settings.workspaces_dir / agent_id / "tree" / "begun"
    eventually(begun.exists)
    one.services.runner.holder.stop()
    worker.join()
    handed = one.state(agent_id)
    assert (handed.phase, handed.recoveries, handed.continues_attempt) == ("awaiting-rework", 0, 1)
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error


def test_an_agent_that_is_stuck_is_told_and_one_that_computes_is_not(lab, remote):
    one = lab(ORCHESTRATOR_STALL="2s")
    busy = one.play(
        remote,
        {"run": "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo > x"},
    )
    assert busy.status is Status.COMPLETED, busy.error
    stuck = one.play(remote, {"run": "sleep 5; echo > x"})
    assert stuck.status is Status.COMPLETED, stuck.error
    reported = [
        (entry.event.type, entry.event.agent_id)
        for entry in one.store.run(read_events(after="0-0"))
        if entry.event.type in ("agent.stalled", "agent.active")
    ]
    assert reported[:1] == [("agent.stalled", stuck.agent_id)]


@pytest.mark.parametrize(("policy", "recoveries"), [("fail", 0), ("restart", 1)])
def test_a_stall_ends_as_the_policy_says(lab, remote, policy, recoveries):
    one = lab(ORCHESTRATOR_STALL="1s", ORCHESTRATOR_STALL_POLICY=policy)
    agent_id = one.spawn(remote, {"run": "echo 1 > begun; sleep 600"})
    agent = one.work(agent_id)
    assert agent.recoveries == recoveries
    if policy == "fail":
        assert (agent.status, agent.error_code) == (Status.FAILED, "agent_stalled")
    else:
        assert (agent.phase, agent.continues_attempt) == ("awaiting-rework", 1)
