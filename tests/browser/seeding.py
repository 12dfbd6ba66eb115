"""Fills a Valkey with agents in every state, through the store's own operations, as workers do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from orchestrator.errors import AgentTimedOut, GatesRejected, PushRefused
from orchestrator.models import (
    AgentState,
    AuditAction,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    LogLine,
    ModelChoice,
    SpawnRequest,
    Stage,
    Status,
    Usage,
    Verdict,
)
from orchestrator.store import agent_logs, agent_transitions, agents, budget, changes, keys
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder, add_to_receipt, kill
from orchestrator.store.operations import command, nothing
from orchestrator.store.registration import submission

NOUNS = ("invoice", "session", "upload", "search", "billing", "webhook", "export", "login", "cart")
DEEDS = ("fix the rounding of", "add a test for", "speed up", "document", "split", "retry", "log")
SAID = (
    "Reading src/{noun}/service.py",
    "The test for {noun} fails on an empty list; I will guard it.",
    "$ pytest -q tests/{noun}  ........F..  1 failed, 10 passed",
    "Edited src/{noun}/views.py (+14 −3)",
)


class Seed:
    """Makes agents whose lives began some time ago."""

    def __init__(self, store: Store, *, number: int = 7) -> None:
        self._store = store
        self._random = random.Random(number)
        self._made = 0
        self.limit(daily=2_000_000_000, concurrency=1000)

    def limit(self, **limits: float) -> None:
        """Set limits of the budget."""
        self._store.run(budget.set_limits(limits, now=datetime.now(UTC)))

    def fill(self, count: int) -> list[str]:
        """Make agents, most of them ended, some at work, a few in trouble; returns their ids."""
        ids = []
        for at in range(count):
            minutes = (count - at) * 0.7 + self._random.random()
            kind = "completed"
            if at > count * 0.9:
                kind = self._random.choice(("running", "running", "queued", "queued", "queued"))
            elif at % 61 == 7:
                kind = self._random.choice(("rejected", "failed", "timed-out"))
            elif at % 37 == 5:
                kind = "killed"
            ids.append(self.make(kind, age=timedelta(minutes=minutes)).agent_id)
        return ids

    def make(self, kind: str, *, age: timedelta = timedelta(minutes=4)) -> AgentState:
        """Make one agent and let it live until it is what `kind` says."""
        self._made += 1
        now = datetime.now(UTC) - age
        noun = self._random.choice(NOUNS)
        task = f"{self._random.choice(DEEDS)} {noun}".replace(" ", "-") + f"-{self._made}"
        agent = self._spawn(task, now)
        if kind == "queued":
            return agent
        agent = self._start(agent, noun, now)
        if kind == "running":
            return agent
        if kind == "stalled":
            since = datetime.now(UTC) - age / 2
            return self._store.run(agent_transitions.stall(agent, since=since, now=since)).state
        if kind == "killed":
            order = KillOrder(by="ada", why="works on the wrong branch")
            self._store.run(kill([agent], order, now=datetime.now(UTC), tags=[agent.agent_id]))
            self._store.run(add_to_receipt(agent.agent_id, {"confirmed": True}))
            return agent
        return self._end(agent, kind, now + age / 2)

    def _spawn(self, task: str, now: datetime) -> AgentState:
        request = SpawnRequest.parse(
            {
                "taskId": task,
                "agentType": self._random.choice(("worker", "worker", "tester", "reviewer")),
                "context": {
                    "repository": "https://git.example.org/shop/backend.git",
                    "branch": "main",
                    "workItems": ["As the ticket says."],
                },
                "priority": self._random.randint(3, 8),
            }
        )
        name = f"{self._random.getrandbits(128):032x}"
        agent_id = "-".join((name[:8], name[8:12], name[12:16], name[16:20], name[20:]))
        note = AuditAction(action="spawn", who="ann", why="", agent_id=agent_id)
        self._store.run(
            submission(
                request,
                agent_id=agent_id,
                choices=[ModelChoice(agent="claude")],
                now=now,
                tag=agent_id,
                note=note,
            )
        )
        return self._store.run(agents.read(agent_id))

    def _start(self, agent: AgentState, noun: str, now: datetime) -> AgentState:
        later = now + timedelta(seconds=9)
        claimed = agent_transitions.claim(agent, "spawn@alpha", "1:1", lease_s=36_000, now=later)
        agent = self._store.run(claimed).state
        started = agent_transitions.start(agent, base_commit="0" * 40, lease_s=36_000, now=later)
        agent = self._store.run(started).state
        lines = [
            LogLine(at=datetime.now(UTC) - timedelta(seconds=40 - 9 * n), source=source, text=text)
            for n, (source, text) in enumerate(
                (("agent", text.format(noun=noun)) for text in SAID), 0
            )
        ]
        shown = lines[: self._random.randint(1, len(lines))]
        self._store.run(agent_logs.append_log(agent.agent_id, agent.attempt, shown, cap=1000))
        total = self._random.randint(20_000, 1_200_000)
        usage = Usage(
            input_tokens=total - 900,
            output_tokens=900,
            total_tokens=total,
            cost_usd=total / 400_000,
        )
        return self._store.run(
            agent_transitions.update(agent, {"usage": usage.wire()}, now=datetime.now(UTC))
        ).state

    def _end(self, agent: AgentState, kind: str, now: datetime) -> AgentState:
        approved = kind not in {"rejected", "timed-out"}
        names = ("typecheck", "lint", "tests", "coverage")
        gates = dict.fromkeys(names, GateStatus.PASSED)
        if not approved:
            gates["tests"] = GateStatus.FAILED
        patch: dict[str, object] = {"summary": "Done as asked, with a test."}
        if kind != "timed-out":
            self._store.run(changes.append_report(_report(agent, gates, approved=approved)))
            verdict = Verdict(
                approved=approved, profile=GateProfile.STANDARD, tree="1" * 40,
                plan_digest="2" * 64, gates=gates,
            )  # fmt: skip
            patch["verdict"] = verdict.wire()
        error = {
            "rejected": GatesRejected("tests failed: 2 of 41 (test_rounding, test_empty)."),
            "timed-out": AgentTimedOut("The agent ran for 120 minutes."),
            "failed": PushRefused("remote: protected branch hook declined."),
        }.get(kind)
        if error is None:
            patch |= {"branch": f"agent/{agent.task_id}", "commit": "3" * 40}
        else:
            self._store.follow(changes.put_change(agent.agent_id, agent.attempt, b"bundle"))
        to = Status.FAILED if error else Status.COMPLETED
        return self._store.run(
            agent_transitions.end(agent, to, now=now, tag=agent.agent_id, patch=patch, error=error)
        ).state


def _report(agent: AgentState, gates: dict[str, GateStatus], *, approved: bool) -> GateReport:
    return GateReport(
        agent_id=agent.agent_id, attempt=agent.attempt, stage=Stage.PRE_COMMIT,
        profile=GateProfile.STANDARD, tree="1" * 40, plan_digest="2" * 64, approved=approved,
        gates=tuple(
            GateResult(
                name=name, status=status, command=f"make {name}", duration_ms=2300,
                exit_code=0 if status is GateStatus.PASSED else 1,
                detail="" if status is GateStatus.PASSED
                else "FAILED test_cart.py::test_rounding\nassert 10.005 == 10.01",
            )
            for name, status in gates.items()
        ),
    )  # fmt: skip


def alter(store: Store, agent_id: str, **facts: object) -> None:
    """Change fields of an agent's record."""
    agent = store.run(agents.read(agent_id)).model_copy(update=facts)
    document = agent.model_dump_json(by_alias=True, exclude_none=True)
    store.run(command("SET", keys.agent(agent_id), document, decode=nothing))
