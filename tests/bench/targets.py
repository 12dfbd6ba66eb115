"""The targets of the speed of this system, and where each of their figures stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.peers.fleet_tool import NAME as FLEET_TOOL
from tests.bench.peers.stacks import FASTIFY, OURS
from tests.bench.results import Figure, Result


@dataclass(frozen=True)
class Target:
    """A limit for one figure; `sign` says on which side of the limit it must be."""

    topic: str
    what: str
    sign: str
    limit: float
    #: The benchmark and its figure or ratio; empty if nothing measures it.
    source: tuple[str, str] = ("", "")
    #: The figures that stand beside it.
    ours: tuple[str, str] = ("", "")
    peer: tuple[str, str] = ("", "")
    #: The sample that counts.
    sample: str = "median"
    #: What a missed target is limited by, or why there is no figure.
    reason: str = ""

    def figure(self, results: Mapping[str, Result]) -> Figure | None:
        """Return the figure that decides, if its benchmark has run."""
        return found(results, self.source)

    def value(self, figure: Figure) -> float:
        """Return the sample that counts."""
        return float(getattr(figure, self.sample))

    def is_met(self, figure: Figure) -> bool:
        """Return whether the figure is on the right side of the limit."""
        value = self.value(figure)
        return value >= self.limit if self.sign == "≥" else value <= self.limit


def found(results: Mapping[str, Result], source: tuple[str, str]) -> Figure | None:
    """Return a figure by its benchmark and its name."""
    result = results.get(source[0])
    return result.figure(source[1]) if result else None


def _http(what: str, connections: int, quantity: str, sign: str, limit: float) -> Target:
    at = f"{what}, {connections} connection{'s' * (connections > 1)}: {quantity}"
    return Target(
        "HTTP",
        f"{what} on {connections}, {quantity}, ratio to NestJS on Fastify",
        sign,
        limit,
        ("peers", f"{at}, ours / {FASTIFY}"),
        ours=("peers", f"{at}, {OURS}"),
        peer=("peers", f"{at}, {FASTIFY}"),
        reason=_HTTP_LIMIT,
    )


_HTTP_LIMIT = (
    "the time of the API's process in Python for each request; BullMQ's `add` writes neither"
    " state, event, audit nor budget"
)
_READS = (
    *("spawn", "status", "list, newest", "list, failed", "list, running", "heartbeat", "sweep"),
    *("kill of one", "budget", "queues", "metrics", "page", "timeline", "logs"),
)
_KILL_LIMIT = (
    "each killed agent takes about 0.1 ms of Valkey for its record, receipt, result, event, cleanup"
    " message and audit entry, and as much of one Python process for its chained entry; smaller"
    " steps let other clients in and add round trips"
)
_START = ("overhead", "spawn to program, warm mirror")
#: Measured with the processor time of all processes of one life, by program.
_LIFE_PROFILE = (
    "of the processor time of one agent on 5,000 files, git takes 36 %, the orchestrator's Python"
    " 34 %, the removal of the workspace 9 %, and the program of the gate the rest"
)
_START_PROFILE = (
    "the claim takes 16 ms; git's fetch, the workspace and the start of the sandbox take the rest"
)
_NO_PROFILE = "it has not been profiled yet"
_FEW = "10 agents do not fill the part that is read; from 1,000 to 100,000 agents it stays the same"
#: Why a read grows although it is bounded.
_BOUNDED = {
    "list, failed": _FEW,
    "list, running": _FEW,
    "budget": _FEW,
    "sweep": "it reads at most 200 entries of each list, and more lists have as many",
}

TARGETS = (
    *(_http("spawn", connections, "rate", "≥", 1.0) for connections in (1, 32)),
    *(_http("spawn", connections, "p99", "≤", 1.0) for connections in (1, 32)),
    *(_http("status", connections, "rate", "≥", 1.5) for connections in (1, 32)),
    Target(
        *("Start", "spawn to program, 5,000 files, p50, ms", "≤", 40, _START),
        peer=("peers", f"request to program running, {FLEET_TOOL}"),
        reason=_START_PROFILE,
    ),
    Target(
        *("Start", "spawn to program, 5,000 files, slowest, ms", "≤", 120, _START),
        sample="high",
        reason=_START_PROFILE,
    ),
    Target(
        *("Start", "the same in Docker, p50, ms", "≤", 120),
        ("start", "spawn to program in Docker, warm mirror"),
        reason="a container is made for each agent after it has its slot",
    ),
    Target(
        *("Start", "the same with 10,000 waiting, ratio", "≤", 1.3),
        ("start", "slot to start, many wait / none"),
        ours=("start", "slot to start, many wait"),
        reason="with one slot, the end of the agent before it is part of the start, and varies",
    ),
    Target(
        *("Life", "processor time of an agent, tiny repository, s", "≤", 0.25),
        ("life", "processor time, tiny repository"),
        reason=_LIFE_PROFILE,
    ),
    Target(
        *("Life", "processor time of an agent, 5,000 files, s", "≤", 1.0),
        ("life", "processor time, large repository"),
        reason=_LIFE_PROFILE,
    ),
    Target(
        *("Life", "20 agents at once, 5,000 files, s", "≤", 12),
        ("life", "20 at once, large repository"),
        reason=_LIFE_PROFILE,
    ),
    Target(
        *("Life", "50 agents, ratio of time to clones and pushes", "≤", 0.3),
        ("fleet", "time, agents / clones"),
        ours=("fleet", "agents, gates and push"),
        peer=("fleet", "clones and pushes"),
        reason=_LIFE_PROFILE,
    ),
    *(
        Target(
            *("CLI", f"`orch {name}`, wall time, ms", "≤", 150, ("idle", f"orch {name}")),
            reason="the import of modules",
        )
        for name in ("--help", "status", "ls", "budget", "kill")
    ),
    Target(
        *("CLI", "`orch kill-all` begins to act, ms", "≤", 200),
        ("kill", "orch kill-all to first state killed"),
        reason="the import of modules",
    ),
    Target(
        *("Memory", "idle `orch up`, proportional set size, MiB", "≤", 300),
        ("idle", "proportional set size of all processes"),
        reason="the modules that each process imports",
    ),
    Target(
        *("Memory", "of the spawn worker for a live agent, MB", "≤", 1),
        ("kill", "memory of the spawn worker for a live agent"),
        reason="the threads and readers of each agent",
    ),
    Target(
        *("Kill", "200 agents, request to last death, ms", "≤", 500),
        ("kill", "kill-all to last death, seen from outside"),
        reason=_NO_PROFILE,
    ),
    Target(
        *("Kill", "10,000 registered: states final, ms", "≤", 150),
        ("kill_registered", "states final and recorded"),
        reason=_KILL_LIMIT,
    ),
    Target(
        *("Kill", "PING of another client meanwhile, longest, ms", "≤", 10),
        ("kill_registered", "PING of another client"),
        sample="high",
        reason=_KILL_LIMIT,
    ),
    Target(
        *("Kill", "100,000 registered: states final, s", "≤", 2),
        ("kill_registered", "states of the most agents final and recorded"),
        reason=_KILL_LIMIT,
    ),
    Target(
        *("Recovery", "SIGKILL of a worker to its agent running again, s", "≤", 15),
        ("recovery", "kill of a worker to agent running again"),
        reason="the restart of the worker, and the sweep that releases what waits for its backoff",
    ),
    *(
        Target(
            *("Growth", f"{read}, ratio of most agents to fewest", "≤", 1.5),
            ("growth", f"{read}, most agents / fewest"),
            reason=_BOUNDED.get(read, "other work on the machine"),
        )
        for read in _READS
    ),
)
