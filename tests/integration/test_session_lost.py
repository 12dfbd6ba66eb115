"""A session that cannot be resumed gives way, once, to a fresh one that is told what was done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.interfaces.agent import Launch
from orchestrator.models import GateReport, GateResult, GateStatus
from orchestrator.store import changes
from orchestrator.store.events import read_events
from orchestrator.store.sessions import keep_session
from orchestrator.wiring import new_id
from tests.integration.ending import Host

ROUND_ONE = [{"write": {"path": "made.txt", "content": "one\n"}}, {"say": "Wrote one."}]
#: What a resumed program may do before its model says anything.
BROKEN = {
    "exit code": [{"fail": 1}],
    "signal": [{"signal": 9}],
    "words on stderr": "echo no conversation found >&2; exit 1",
    "garbled": [{"print": "what is no event\n"}, {"fail": 1}],
    "no result": [{"fail": 0}],
}


@dataclass
class Breaks:
    """The scripted backend; where it is to resume a session its program plays other steps."""

    backend: Any
    steps: list[dict[str, Any]] | str
    is_always: bool = False
    jobs: list[Any] = field(default_factory=list)

    def launch(self, job: Any) -> Any:
        """Start it."""
        self.jobs.append(job)
        launch = self.backend.launch(job)
        if job.session_id or self.is_always:
            if isinstance(self.steps, str):
                return Launch(("sh", "-c", self.steps))
            play = {**json.loads(launch.stdin), "steps": self.steps}
            return Launch(launch.argv, stdin=json.dumps(play).encode())
        return launch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


@pytest.fixture
def rejected(host: Host) -> str:
    """An agent that waits for its second round."""
    script = {"steps": [*ROUND_ONE, {"append": {"path": "made.txt", "content": "two\n"}}]}
    agent_id = host.spawn(json.dumps(script))
    host.run(agent_id)
    holder = host.services.runner.holder
    agent = holder.claim_for_gates(agent_id, 1)
    gate = GateResult(name="tests", status=GateStatus.FAILED, detail="it is two that is missing")
    report = GateReport(
        agent_id=agent_id,
        attempt=1,
        stage="pre-commit",
        profile="minimal",
        tree="0" * 40,
        plan_digest="0",
        approved=False,
        gates=(gate,),
    )
    host.store.run(changes.append_report(report))
    with holder.holding(agent):
        holder.request_rework(agent, {})
    return agent_id


def play(host: Host, agent_id: str, steps: list[dict[str, Any]] | str, **options: Any) -> Breaks:
    runner = host.services.runner
    breaks = Breaks(runner.backends("scripted"), steps, **options)
    replace(runner, backends=lambda _name: breaks).run(agent_id)
    return breaks


def warnings(host: Host) -> list[str | None]:
    reported = [entry.event for entry in host.store.run(read_events(after="0-0"))]
    return [event.error_code for event in reported if event.type == "agent.warning"]


@pytest.mark.parametrize("steps", [pytest.param(steps, id=name) for name, steps in BROKEN.items()])
def test_a_fresh_session_goes_on_in_the_same_attempt(host, rejected, steps):
    breaks = play(host, rejected, steps)
    first, second = breaks.jobs
    assert (first.session_id, second.session_id) == ("scripted-1", None)
    assert second.work_items == first.work_items
    reported = second.feedback
    assert "it is two that is missing" in reported
    assert "Wrote one." in reported
    assert f"git diff {host.state(rejected).base_commit}" in reported
    state = host.state(rejected)
    assert (state.phase, state.attempt, state.recoveries) == ("awaiting-gates", 2, 0)
    assert host.stored(rejected)["made.txt"] == "one\ntwo"
    assert warnings(host) == ["session_lost"]


def test_only_once_a_round(host, rejected):
    breaks = play(host, rejected, [{"fail": 1}], is_always=True)
    assert len(breaks.jobs) == 2
    state = host.state(rejected)
    assert (state.status, state.error_code) == ("failed", "agent_failed")
    assert warnings(host) == ["session_lost"]
    assert host.stored(rejected)["made.txt"] == "one\ntwo"


def test_not_once_its_model_has_spoken(host, rejected):
    breaks = play(host, rejected, [{"say": "I resume."}, {"fail": 1}])
    assert len(breaks.jobs) == 1
    assert host.state(rejected).error_code == "agent_failed"
    assert warnings(host) == []


def test_not_in_a_round_that_resumes_nothing(host):
    agent_id = host.spawn(json.dumps({"steps": [{"fail": 1}]}))
    assert len(play(host, agent_id, [{"fail": 1}]).jobs) == 1
    assert host.state(agent_id).error_code == "agent_failed"


def test_what_the_lost_start_spent_counts(host, rejected):
    play(host, rejected, [{"tokens": {"input": 5, "output": 2}}, {"fail": 1}])
    assert host.state(rejected).usage.total_tokens == 7


@pytest.mark.parametrize("error", [ValueError("corrupt"), OSError("unreadable"), KeyError("x")])
def test_a_session_that_cannot_be_put_in_place_is_left_behind(host, rejected, error):
    runner = host.services.runner
    jobs: list[Any] = []

    class Sessions(Breaks):
        def import_session(self, *_given: Any) -> None:
            raise error

        def export_session(self, *_given: Any) -> dict[str, list[str]]:
            return {"": [json.dumps({"uuid": new_id()})]}

    now = runner.holder.clock()
    kept = keep_session(rejected, 1, "scripted-1", {"": ['{"uuid": "1"}']}, now=now)
    host.store.follow(kept)
    sessions = Sessions(runner.backends("scripted"), [], jobs=jobs)
    replace(runner, backends=lambda _name: sessions).run(rejected)
    (job,) = jobs
    assert job.session_id is None
    assert "it is two that is missing" in job.feedback
    assert host.state(rejected).phase == "awaiting-gates"
    assert warnings(host) == ["session_lost"]
