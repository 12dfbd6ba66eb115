"""A change that conflicts with its target is delivered as the policy says."""

from __future__ import annotations

import pytest

from orchestrator.models import Status
from orchestrator.store import changes
from tests.integration.conftest import git
from tests.integration.delivery.lab import advance, branches, write


def test_by_default_a_conflicting_change_is_pushed_and_its_conflicts_told(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, write("calc.py", "def add(a, b):\n    return b + a\n"))
    one.work(agent_id)
    advance(remote, calc__py="def add(a, b):\n    return sum((a, b))\n")
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert [(one.path, one.kind) for one in agent.conflicts] == [("calc.py", "contents")]
    assert f"agent/{agent_id}" in branches(remote)


def test_under_rebase_the_gates_judge_the_tree_on_the_new_tip(lab, remote):
    one = lab(ORCHESTRATOR_CONFLICT_POLICY="rebase")
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    one.work(agent_id)
    tip = advance(remote, other__py="OTHER = 1\n")
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert git("rev-parse", f"{agent.commit}^", cwd=remote) == tip
    assert git("rev-parse", f"{agent.commit}^{{tree}}", cwd=remote) == agent.verdict.tree
    assert {report.tree for report in one.store.run(changes.read_reports(agent_id))} > {
        agent.verdict.tree
    }


def test_under_rebase_what_fails_on_the_new_tip_is_not_pushed(lab, remote):
    """Each alone is fine; together they are not, and only a look at both together tells."""
    one = lab(ORCHESTRATOR_CONFLICT_POLICY="rebase")
    agent_id = one.spawn(remote, write("calc2.py", "from calc import add\n"), maxRetries=0)
    one.work(agent_id)
    test = (
        "import unittest, pathlib\n\nclass TestNone(unittest.TestCase):\n"
        "    def test_none(self):\n"
        "        self.assertFalse(pathlib.Path('calc2.py').exists())\n"
    )
    advance(remote, test_none__py=test)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "gates_rejected")
    assert branches(remote) == {"main"}


@pytest.mark.parametrize("policy", ["rebase", "reject"])
def test_a_conflict_that_may_not_be_pushed_fails_and_is_kept(lab, remote, policy):
    one = lab(ORCHESTRATOR_CONFLICT_POLICY=policy)
    agent_id = one.spawn(remote, write("calc.py", "def add(a, b):\n    return b + a\n"))
    one.work(agent_id)
    advance(remote, calc__py="def add(a, b):\n    return sum((a, b))\n")
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "change_conflicts")
    assert "calc.py (contents)" in agent.error
    one.services.cleanup.run(agent_id)
    assert one.store.follow(changes.newest_change(agent_id, agent.attempt))[0] == 1
    assert branches(remote) == {"main"}


def test_a_target_that_is_deleted_meanwhile_is_told_and_the_work_is_kept(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    one.work(agent_id)
    git("update-ref", "-d", "refs/heads/main", cwd=remote)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "branch_unknown")
    one.services.cleanup.run(agent_id)
    one.store.follow(changes.newest_change(agent_id, agent.attempt))
