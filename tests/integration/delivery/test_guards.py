"""Each guard between a verdict and the remote, alone: without it something would leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    ForgeRefused,
    GatesRejected,
    GitFailed,
    LeaseLost,
    OrchestratorError,
    PushFailed,
    PushRefused,
)
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.interfaces.forge import ChangeRequest
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.models import Status
from orchestrator.stages.gate_check import delivery as module
from orchestrator.stages.gate_check.delivery import Delivery, Reconciled
from orchestrator.store import kills
from tests.integration.conftest import git
from tests.integration.delivery.judged import NEW, Judged, Unhurried, judging
from tests.integration.delivery.lab import Lab, advance, branches, secret


@dataclass
class Failing:
    """A remote whose every push fails; `before` happens while it is pushed to."""

    error: Exception
    before: Callable[[], None] = lambda: None
    pushes: list[str] = field(default_factory=list)

    def push(self, _git_dir: Path, _address: str, commit: str, *_: str, **__: str) -> None:
        self.pushes.append(commit)
        self.before()
        raise self.error

    def find(self, *_: object, **__: object) -> str:
        raise self.error


def test_what_all_guards_let_through_is_pushed(judged, remote):
    assert judged.deliver()["branch"] in branches(remote)


@pytest.mark.parametrize("has_started", [True, False])
def test_the_commit_has_the_time_of_the_attempt_so_that_a_repetition_makes_the_same(
    judged, remote, has_started
):
    at = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    times = {"started_at": at, "spawned_at": at - timedelta(days=1)}
    if not has_started:
        times = {"started_at": None, "spawned_at": at}
    agent = judged.agent.model_copy(update=times)
    commit = judged.deliver(agent=agent)["commit"]
    shown = git("show", "-s", "--format=%ct %at", str(commit), cwd=remote)
    assert shown == " ".join([str(int(at.timestamp()))] * 2)


@pytest.mark.parametrize(
    "changed", [{"approved": False}, {"tree": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}]
)
def test_only_an_approval_of_this_very_tree_lets_it_leave(judged, remote, changed):
    with pytest.raises(GatesRejected, match=judged.reconciled.candidate.tree):
        judged.deliver(verdict=judged.verdict.model_copy(update=changed))
    assert branches(remote) == {"main"}
    assert judged.lab.state(judged.agent.agent_id).pushing is None


def test_a_change_merged_onto_a_new_tip_is_not_covered_by_the_verdict_before(judged, remote):
    candidates, candidate = judged.delivery.candidates, judged.reconciled.candidate
    other = f"{judged.base.commit}^{{tree}}"
    moved = candidates.moved(candidate, other, judged.base)
    with pytest.raises(GatesRejected):
        judged.deliver(reconciled=Reconciled(judged.base, moved))
    assert branches(remote) == {"main"}


def test_an_attempt_that_another_has_replaced_pushes_nothing(judged, remote):
    judged.recover()
    with pytest.raises(AttemptStale):
        judged.deliver()
    assert branches(remote) == {"main"}


@pytest.mark.parametrize("by", ["its state", "its lease"])
def test_a_killed_agent_pushes_nothing(judged, remote, by):
    if by == "its state":
        judged.kill()
    else:
        judged.lease.revoke()
    with pytest.raises(OrchestratorError) as refused:
        judged.deliver()
    assert refused.value.code in ("transition_refused", "agent_killed")
    assert branches(remote) == {"main"}


def test_who_may_have_lost_the_lease_pushes_nothing(judged, remote):
    lease = Unhurried(
        judged.lab.store,
        judged.agent,
        DeadlineThread(),
        lease_s=0.0,
        clock=judged.delivery.holder.clock,
    )
    with pytest.raises(LeaseLost):
        judged.deliver(lease=lease)
    assert branches(remote) == {"main"}


def test_an_unmoved_target_leaves_base_and_candidate_as_they_were_judged(judged):
    found = judged.delivery.reconcile(judged.agent, judged.base, judged.reconciled.candidate)
    assert found == judged.reconciled
    rebase = judged.lab.settings.model_copy(update={"conflict_policy": "rebase"})
    found = replace(judged.delivery, settings=rebase).reconcile(
        judged.agent, judged.base, judged.reconciled.candidate
    )
    assert found == judged.reconciled


@pytest.mark.parametrize("policy", ["push-branch", "reject"])
def test_only_rebase_moves_a_change_that_does_not_conflict(judged, remote, policy):
    """Otherwise the gates would judge a tree that nobody asked for."""
    advance(remote, other__py="OTHER = 1\n")
    settings = judged.lab.settings.model_copy(update={"conflict_policy": policy})
    found = replace(judged.delivery, settings=settings).reconcile(
        judged.agent, judged.base, judged.reconciled.candidate
    )
    assert found == judged.reconciled


@pytest.mark.parametrize(
    ("error", "tries"), [(PushFailed("gone"), module.PUSH_TRIES), (PushRefused("no"), 1)]
)
def test_a_network_gets_its_tries_and_a_refusal_none(judged, error, tries):
    failing = Failing(error)
    with pytest.raises(type(error)):
        replace(judged.delivery, remote=failing).deliver(*judged.inputs({}))
    assert (len(failing.pushes), len(set(failing.pushes))) == (tries, 1)
    assert len(judged.lease.waits) == tries - 1


@pytest.mark.parametrize("error", [PushFailed("gone"), PushRefused("no")])
def test_a_push_that_a_kill_ended_is_told_as_the_kill(judged, error):
    failing = Failing(error, judged.lease.revoke)
    with pytest.raises(AgentKilled):
        replace(judged.delivery, remote=failing).deliver(*judged.inputs({}))
    assert (len(failing.pushes), judged.lease.waits) == (1, ())


def receipt_of(judged: Judged) -> str | None:
    return judged.lab.store.run(kills.read_receipt(judged.agent.agent_id)).remote


def report(judged: Judged, delivery: Delivery | None = None) -> None:
    candidate = judged.reconciled.candidate
    with (
        pytest.raises(AgentKilled),
        (delivery or judged.delivery).reporting_kill(judged.agent, candidate),
    ):
        raise AgentKilled


@pytest.mark.parametrize("was_pushed", [True, False])
def test_a_kill_during_the_push_says_what_the_remote_holds(judged, was_pushed):
    if was_pushed:
        reported = str(judged.deliver()["commit"])
    else:
        judged.delivery.holder.update(judged.agent, {"pushing": "1" * 40})
        reported = "absent"
    judged.kill()
    report(judged)
    assert receipt_of(judged) == f"agent/{judged.agent.agent_id}: {reported}"


def test_a_remote_that_cannot_be_read_after_a_kill_is_told(judged):
    judged.delivery.holder.update(judged.agent, {"pushing": "1" * 40})
    judged.kill()
    report(judged, replace(judged.delivery, remote=Failing(PushFailed("gone away"))))
    assert "not readable (gone away" in str(receipt_of(judged))


def test_a_kill_before_the_push_says_nothing_of_the_remote(judged):
    judged.kill()
    report(judged, replace(judged.delivery, remote=Failing(AssertionError())))
    assert receipt_of(judged) is None


def test_the_remote_is_read_although_the_kill_ends_all_that_the_attempt_starts(judged):
    reported = str(judged.deliver()["commit"])
    judged.kill()
    ended = CancelScope()
    ended.end()
    with working_in(ended):
        report(judged)
    assert receipt_of(judged) == f"agent/{judged.agent.agent_id}: {reported}"


def test_an_end_that_is_no_kill_asks_no_remote(judged):
    judged.delivery.holder.update(judged.agent, {"pushing": "1" * 40})
    report(judged, replace(judged.delivery, remote=Failing(AssertionError())))
    assert judged.lab.state(judged.agent.agent_id).status is Status.RUNNING


@pytest.mark.parametrize("refuses", ["forge", "token"])
def test_a_pushed_branch_stays_delivered_where_no_request_can_be_opened(judged, refuses):
    no = "not this one"

    class Forge:
        def open_request(self, *_: object, **__: str) -> str:
            raise ForgeRefused(no)

    def token(_repository: str) -> str:
        if refuses == "token":
            raise GitFailed(no)
        return ""

    delivery = replace(judged.delivery, forge=Forge(), token=token)
    facts = delivery.deliver(*judged.inputs({})).facts
    assert (facts["branch"], no in str(facts["requestError"])) == (
        f"agent/{judged.agent.agent_id}",
        True,
    )


def test_a_title_has_the_length_that_forges_take(judged):
    asked = []

    class Forge:
        def open_request(self, one: ChangeRequest, **_: str) -> str:
            asked.append(one)
            return "url"

    agent = judged.agent.model_copy(update={"summary": "long " * 200})
    replace(judged.delivery, forge=Forge()).deliver(*judged.inputs({"agent": agent}))
    (one,) = asked
    assert 0 < len(one.title) <= 200


def test_a_secret_in_a_work_item_stands_in_no_title(tmp_path, valkey_url, remote):
    """Those of the settings, and those that look like one."""
    known, looks = "a-very-known-word", secret()
    lab = Lab(tmp_path, valkey_url, GIT_TOKEN=known, GIT_TOKEN_HOSTS="example.invalid")
    context = {"repository": str(remote), "branch": "main"}
    items = [f"# {known} and {looks}\n" + json.dumps({"steps": [NEW]})]
    with judging(lab, remote, context={**context, "workItems": items}) as judged:
        title = judged.delivery._asked_for(judged.agent)
    assert title.startswith("# ")
    assert known not in title
    assert looks not in title
