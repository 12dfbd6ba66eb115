"""Agents of every kind and what is to be said of each: one table for the rules, CLI, HTTP, page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from orchestrator.messages import QUEUES, SPAWN_QUEUE
from orchestrator.models import (
    AgentState,
    AgentType,
    Conflict,
    GateProfile,
    GateStatus,
    Halt,
    Pause,
    Phase,
    SpawnContext,
    Status,
    TaskState,
    TaskStatus,
    Usage,
    Verdict,
)
from orchestrator.queries.attention import AttentionContext
from orchestrator.store import changes, halt, keys, provider_limits, queues, workers
from orchestrator.store.operations import command, nothing
from orchestrator.store.transition import now_ms

NOW = datetime.now(UTC)
AGENT = "1c0c1d9e-0000-4000-8000-000000000001"
NEWER = "1c0c1d9e-0000-4000-8000-000000000002"
ENDED = {"phase": Phase.ENDED, "completed_at": NOW - timedelta(minutes=1)}
FAILED = {"status": Status.FAILED, **ENDED}
QUEUED = {"status": Status.SPAWNING, "phase": Phase.QUEUED, "worker": None}
VERDICT = Verdict(
    approved=False, profile=GateProfile.STANDARD, tree="1" * 40, plan_digest="2" * 64,
    gates={"lint": GateStatus.PASSED, "tests": GateStatus.FAILED},
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An agent, what is around it, and what must be said: rank and code, words, the command."""

    name: str
    expected: tuple[int | None, str, str, str]
    facts: dict[str, object] = field(default_factory=dict)
    around: dict[str, object] = field(default_factory=dict)

    @property
    def agent(self) -> AgentState:
        facts: dict[str, object] = {
            "agent_id": AGENT, "task_id": "task", "status": Status.RUNNING,
            "phase": Phase.EXECUTING, "agent_type": AgentType.WORKER, "agent": "claude",
            "repository": "https://git.example.org/shop.git", "base_branch": "main",
            "gate_profile": GateProfile.STANDARD, "priority": 5, "max_retries": 3, "attempt": 1,
            "spawned_at": NOW - timedelta(minutes=30), "worker": "spawn@alpha",
        }  # fmt: skip
        return AgentState(**{**facts, **self.facts})

    def put(self, store) -> None:
        """Write the agent and what is around it, as the fleet would have."""
        agent, around = self.agent, AttentionContext(**self.around)
        _set(store, keys.agent(AGENT), agent)
        at = now_ms(agent.spawned_at)
        for index in (keys.AGENTS, keys.status_index(agent.status), keys.listed(agent.status)):
            store.run(command("ZADD", index, at, AGENT, decode=nothing))
        task = TaskState(
            task_id=agent.task_id, status=TaskStatus.EXECUTING, created_at=NOW, updated_at=NOW,
            agent_id=around.newest or AGENT,
            context=SpawnContext(
                repository=agent.repository, branch="main", work_items=("do it",)
            ),
        )  # fmt: skip
        _set(store, keys.task(agent.task_id), task)
        for queue in QUEUES:
            store.run(workers.announce(f"{queue}@alpha", now=datetime.now(UTC)))
        if around.halt:
            store.run(halt.set_halt(around.halt))
        for queue, pause in around.pauses.items():
            store.run(queues.set_pause(queue, pause))
        if until := around.limited_until:
            store.run(provider_limits.limit_provider(agent.current, until=until, now=NOW))
        if around.is_unconfirmed:
            store.run(command("ZADD", keys.UNCONFIRMED, at, AGENT, decode=nothing))
        if around.has_change:
            store.follow(changes.put_change(AGENT, 1, b"bundle"))


def _set(store, key, record):
    store.run(command("SET", key, record.model_dump_json(by_alias=True, exclude_none=True),
                      decode=nothing))  # fmt: skip


def failed(code, **facts):
    return {**FAILED, "error_code": code, "error": f"It is {code}. And more.", **facts}


def usage(tokens):
    return {"usage": Usage(input_tokens=tokens, total_tokens=tokens)}


CASES = [
    Case("works", (None, "executing", "working at spawn@alpha", "orch logs -f ID")),
    Case("completed", (None, "completed", "agent/x", "orch diff ID"),
         {"status": Status.COMPLETED, **ENDED, "branch": "agent/x"}),
    Case("push failed", (2, "push_failed", "push_failed: It is push_failed; its work is kept",
         "orch retry ID"), failed("push_failed"), {"has_change": True}),
    Case("push refused", (2, "push_refused", "push_refused: It is", "orch export ID"),
         failed("push_refused"), {"has_change": True}),
    Case("disk full", (2, "disk_full", "disk_full: It is disk_full", "orch doctor"),
         failed("disk_full")),
    Case("rejected", (2, "gates_rejected", "rejected by tests", "orch gates ID"),
         failed("gates_rejected", verdict=VERDICT)),
    Case("failed", (2, "agent_failed", "agent_failed: It is", "orch logs ID"),
         failed("agent_failed")),
    Case("failed with a change", (2, "agent_failed", "its work is kept", "orch diff ID"),
         failed("agent_failed"), {"has_change": True}),
    Case("failed without a word", (2, "failed", "no reason given", "orch logs ID"), FAILED),
    Case("over budget", (1, "budget_exceeded", "budget_exceeded: It is", "orch budget"),
         failed("budget_exceeded")),
    Case("superseded", (None, "push_failed", NEWER, f"orch status {NEWER}"),
         failed("push_failed"), {"has_change": True, "newest": NEWER}),
    Case("conflicts", (6, "conflicts", "conflicts with main: a.py", "orch diff ID"),
         {"status": Status.COMPLETED, **ENDED,
          "conflicts": (Conflict(path="a.py", kind="content"),)}),
    Case("conflicts of one superseded", (None, "completed", NEWER, f"orch status {NEWER}"),
         {"status": Status.COMPLETED, **ENDED,
          "conflicts": (Conflict(path="a.py", kind="content"),)}, {"newest": NEWER}),
    Case("no request", (6, "request_missing", "the forge says no", "orch status ID"),
         {"status": Status.COMPLETED, **ENDED, "request_error": "the forge says no"}),
    Case("95 % of its tokens", (4, "near_tokens", "1,900,000 of its 2,000,000",
         "orch budget set agent …"), usage(1_900_000)),
    Case("most of its dollars", (4, "near_dollars", "$0.45 of its $0.50",
         "orch budget set agentUsd …"),
         {"max_cost_usd": 0.5, "usage": Usage(total_tokens=1, cost_usd=0.45)}),
    Case("just below", (None, "executing", "working", "orch logs -f ID"), usage(1_599_999)),
    Case("most of its time", (4, "near_time", "run for 100 of its 120 min",
         "orch budget set time …"), {"ran_s": 6000.0}),
    Case("lost three times", (4, "lost_often", "was lost 3 times", "orch inspect ID"),
         {"recoveries": 3}),
    Case("stalled", (3, "stalled", "stalled for", "orch logs -f ID"),
         {"stalled_since": NOW - timedelta(minutes=10)}),
    Case("stalled before it waited", (None, "queued", "queue gates", "orch wait ID"),
         {"stalled_since": NOW - timedelta(minutes=10), "phase": Phase.AWAITING_GATES}),
    Case("death not confirmed", (0, "kill_unconfirmed", "spawn@alpha", "orch receipt ID"),
         {"status": Status.KILLED, **ENDED}, {"is_unconfirmed": True}),
    Case("just killed", (None, "kill_unconfirmed", "not confirmed", "orch receipt ID"),
         {"status": Status.KILLED, **ENDED, "completed_at": NOW + timedelta(hours=1)},
         {"is_unconfirmed": True}),
    Case("killed", (None, "killed", "by ada", "orch receipt ID"),
         {"status": Status.KILLED, **ENDED, "error": "killed by ada"}),
    Case("halted", (5, "halted", "halted by ada: a leak", "orch resume --reason …"),
         QUEUED, {"halt": Halt(by="ada", why="a leak", at=NOW)}),
    Case("a halt of one that runs", (None, "executing", "working", "orch logs -f ID"),
         {}, {"halt": Halt(by="ada", why="a leak", at=NOW)}),
    Case("its queue is paused", (5, "queue_paused", "spawn is paused by ada: flaky",
         "orch queues resume spawn"), QUEUED,
         {"pauses": {SPAWN_QUEUE: Pause(by="ada", why="flaky", at=NOW)}}),
    Case("another queue is paused", (None, "queued", "queue gates", "orch wait ID"),
         {"phase": Phase.AWAITING_GATES},
         {"pauses": {SPAWN_QUEUE: Pause(by="ada", why="flaky", at=NOW)}}),
    Case("its provider is limited", (7, "provider_limited", "claude's provider is at its limit",
         "orch wait ID"), {"phase": Phase.AWAITING_REWORK},
         {"limited_until": NOW + timedelta(hours=20)}),
    Case("the gates need no provider", (None, "queued", "queue gates", "orch wait ID"),
         {"phase": Phase.AWAITING_GATES}, {"limited_until": NOW + timedelta(hours=20)}),
    Case("no disk", (5, "disk_low", "disk: 5 bytes free under /w (alpha)", "orch doctor"),
         {**QUEUED, "waiting_for": "disk: 5 bytes free under /w (alpha)"}),
    Case("at risk and waiting", (4, "lost_often", "was lost 4 times; halted by ada",
         "orch inspect ID"), {"phase": Phase.AWAITING_REWORK, "recoveries": 4},
         {"halt": Halt(by="ada", why="", at=NOW)}),
]  # fmt: skip
