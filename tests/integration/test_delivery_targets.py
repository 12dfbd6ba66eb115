"""Where a change is delivered: prefix and author, a branch in the way, a base that is deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.models import Status
from orchestrator.store import changes
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import Lab, branches, write

DELIVERY = """
[delivery]
branch_prefix = "bots/run-"
author = "Build Bots <bots@example.org>"
"""
CHANGE = write("new.txt", "x")


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str) -> Lab:
    return Lab(tmp_path, valkey_url, ORCHESTRATOR_PROCESS_LEVEL="shim")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


def _stored(lab: Lab, agent_id: str) -> bool:
    agent = lab.state(agent_id)
    return bool(lab.store.run(changes.has_any_change(agent_id, agent.attempt)))


def test_a_repository_names_its_prefix_and_its_author(lab, tmp_path):
    remote = make_remote(tmp_path, {**SAMPLE, "orchestrator.toml": DELIVERY})
    # `agent` is in nobody's way then.
    git("branch", "agent", "main", cwd=remote)
    agent = lab.play(remote, CHANGE)
    assert agent.status is Status.COMPLETED, agent.error
    assert agent.branch == f"bots/run-{agent.agent_id}"
    assert branches(remote) == {"main", "agent", agent.branch}
    shown = git("log", "-1", "--format=%an <%ae>|%cn <%ce>", agent.branch, cwd=remote)
    assert shown == "|".join(["Build Bots <bots@example.org>"] * 2)


def test_the_operator_names_them_for_all_others(tmp_path, valkey_url, remote):
    lab = Lab(
        tmp_path,
        valkey_url,
        ORCHESTRATOR_PROCESS_LEVEL="shim",
        ORCHESTRATOR_BRANCH_PREFIX="work-",
        ORCHESTRATOR_COMMIT_AUTHOR="Ops <ops@example.org>",
    )
    agent = lab.play(remote, CHANGE)
    assert agent.branch == f"work-{agent.agent_id}"
    assert git("log", "-1", "--format=%ae %ce", agent.branch, cwd=remote) == (
        "ops@example.org ops@example.org"
    )


def test_a_branch_in_the_way_is_found_before_the_agent_starts(lab, remote):
    git("branch", "agent", "main", cwd=remote)
    agent = lab.work(lab.spawn(remote, CHANGE))
    assert (agent.status, agent.error_code) == (Status.FAILED, "branch_blocked")
    assert f"agent, so it cannot have agent/{agent.agent_id}" in agent.error
    assert agent.started_at is None, "no token is spent"


@pytest.mark.parametrize("others", [(), ("kept",)])
def test_a_base_branch_deleted_meanwhile_ends_clearly_and_keeps_the_work(lab, remote, others):
    for name in others:
        git("branch", name, "main", cwd=remote)
    agent_id = lab.spawn(remote, CHANGE)
    lab.work(agent_id)
    git("update-ref", "-d", "refs/heads/main", cwd=remote)
    agent = lab.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "branch_unknown")
    assert "main was deleted after the agent had started" in agent.error
    assert "orch export" in agent.error
    assert _stored(lab, agent_id)
    assert branches(remote) == set(others)


@pytest.mark.parametrize("branch", ["fix/#123", "größe", "release=1.2", "x$(y);z"])
def test_a_change_of_a_branch_of_any_name_is_delivered(lab, remote, branch):
    git("branch", branch, "main", cwd=remote)
    context = {
        "repository": str(remote),
        "branch": branch,
        "workItems": [json.dumps({"steps": [CHANGE]})],
    }
    agent = lab.play(remote, context=context)
    assert (agent.status, agent.base_branch) == (Status.COMPLETED, branch), agent.error
    assert agent.branch in branches(remote)
