"""The name of every key in Valkey that is ours.

Ids are the client's choice: each stands last in its key (but for a number), so none can name
another's.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

from orchestrator.messages import LEAST_URGENT, MOST_URGENT, SPAWN_QUEUE, queue_key
from orchestrator.models import Status

#: Pub/sub channel of lifecycle events (a channel is no key).
EVENTS_CHANNEL = "orchestrator:events"
#: Stream of the same events, capped, for replay and audit.
EVENTS_STREAM = "orchestrator:events:stream"
#: Sorted set: agentId → the instant (ms) it was spawned.
AGENTS = "orchestrator:agents"
#: Sorted set: agentId → the instant (ms) its lease ends.
LEASES = "orchestrator:leases"
#: Sorted set: agentId → the instant (ms) from which it may be queued again.
DELAYED = "orchestrator:delayed"
#: Sorted set: agentId → the number of the list that has its message, and when it was sent (ms).
AWAITING = "orchestrator:awaiting"
#: Sorted set: agentId → the instant (ms) since when its message seems to be lost.
LOST_MESSAGES = "orchestrator:lost-messages"
#: Sorted set: pool worker's name → the instant (ms) until which it counts as alive.
WORKERS = "orchestrator:workers"
#: Stream: the agents of each kill that a worker holds.
KILLS = "orchestrator:kills"
#: Stream: the agents whose death was confirmed, for those who wait.
KILL_ACKS = "orchestrator:kill-acks"
#: Sorted set: agentId → the instant (ms) of a kill that nobody has confirmed yet.
UNCONFIRMED = "orchestrator:unconfirmed"
#: String, JSON: the Halt; while it stands nothing new starts.
HALT = "orchestrator:halt"
#: Stream of who did what to which agent, each entry chained to the one before; never trimmed.
AUDIT = "orchestrator:audit"
#: String, JSON: the AuditHead, the last place of that chain.
AUDIT_HEAD = "orchestrator:audit:head"
#: List: AuditDraft JSON, written with what it tells of, until who has the key chains it.
AUDIT_WAITING = "orchestrator:audit:waiting"
#: Hash: queue → Pause JSON; nothing is taken from these.
PAUSED = "orchestrator:queues:paused"
#: Hash: `<queue>:completed`, `<queue>:failed` → messages worked off.
WORKED_OFF = "orchestrator:queues:worked-off"
#: List, JSON: the newest entries of queues that no worker could read, and why.
UNREADABLE = "orchestrator:queues:unreadable"
#: Hash: pool worker's name → why it starts no agent now.
SHORTAGES = "orchestrator:shortages"
#: Sorted set: agentId → the instant (ms) at which this version could not read its record.
UNREADABLE_AGENTS = "orchestrator:agents:unreadable"
#: Hash: name → how often or how much; and the places up to which the streams are counted.
METRICS = "orchestrator:metrics"
#: Hash: minute or hour, measure, repository → how often or how much; of the last day.
TRENDS = "orchestrator:trends"
#: Hash: name → StoredKey JSON, of every key but that of the settings.
KEYS = "orchestrator:keys"
#: Hash: name → the instant (ISO 8601) of the key's last use, to the minute.
KEYS_USED = "orchestrator:keys:used"
#: String: there once was a key, so that without any nobody is let in.
KEYS_ASKED = "orchestrator:keys:asked"
#: Hash: limit → value, as the processes of the fleet were started with.
BUDGET_SETTINGS = "orchestrator:budget:settings"
#: Hash: limit → value, as somebody set it since; these win.
BUDGET_LIMITS = "orchestrator:budget:limits"
#: Hash: agentId → tokens it may still spend of what was reserved for it; `*` the sum of them.
RESERVED = "orchestrator:budget:reserved"
#: Hash: agentId → its open model requests, JSON; `*` the tokens by which they extend reservations.
MODEL_REQUESTS = "orchestrator:budget:requests"
#: String: the BudgetStatus that was told last.
BUDGET_STATUS = "orchestrator:budget:status"
#: Sorted set: agentId → the instant (ms) since when it holds one of the fleet's places.
SLOTS = "orchestrator:places"
#: Sorted set: agentId → urgency, of those who wait for a place; the least goes first.
WAITING = "orchestrator:waiting"
#: Hash: agentId → its message, of those who wait for a place and were not called yet.
UNCALLED = "orchestrator:waiting:uncalled"
#: Sorted set: `AGENT` or `AGENT:MODEL` → the instant (ms) before which no agent of it starts.
PROVIDER_LIMITS = "orchestrator:provider-limits"
#: Lock of the sweep.
SWEEP_LOCK = "orchestrator:sweep:lock"
#: Hash: origin of sweeps → the instant (ms) of its last one.
SWEEPS = "orchestrator:sweeps"
#: Hash: pool worker's name → seconds by which the clock of its host is ahead of Valkey's.
CLOCKS = "orchestrator:clocks"


def agent(agent_id: str) -> str:
    """String, JSON: the AgentState."""
    return f"orchestrator:agent:{agent_id}"


def request(agent_id: str) -> str:
    """String, JSON: the SpawnRequest the agent came from."""
    return f"orchestrator:request:{agent_id}"


def log(agent_id: str) -> str:
    """Stream: the agent's output, capped."""
    return f"orchestrator:log:{agent_id}"


def trail(agent_id: str) -> str:
    """List: where the newest events and audit entries of the agent are, oldest first, capped."""
    return f"orchestrator:trail:{agent_id}"


def reports(agent_id: str) -> str:
    """List, JSON: the agent's gate reports, oldest first."""
    return f"orchestrator:gates:{agent_id}"


def change(agent_id: str, attempt: int) -> str:
    """String, JSON: the ObjectRef of the git bundle of what this attempt changed."""
    return f"orchestrator:change:{agent_id}:{attempt}"


def stored_object(digest: str) -> str:
    """Hash: number of a piece, from 0 → its bytes, of the object with this SHA-256."""
    return f"orchestrator:object:{digest}"


def object_names(digest: str) -> str:
    """Sorted set: keys whose value names this object → the instant (ms) they lapse, or `inf`."""
    return f"orchestrator:object-names:{digest}"


def touched(repository: str) -> str:
    """Hash: agentId → JSON {files it touched, others it was told of}, of a repository's agents."""
    return f"orchestrator:touched:{hashlib.sha256(repository.encode()).hexdigest()}"


def receipt(agent_id: str) -> str:
    """String, JSON: the Receipt of the agent's kill."""
    return f"orchestrator:receipt:{agent_id}"


def acknowledgement(agent_id: str) -> str:
    """String, JSON: the Acknowledgement of why the agent needs attention; lapses."""
    return f"orchestrator:acknowledged:{agent_id}"


def task(task_id: str) -> str:
    """String, JSON: the TaskState."""
    return f"orchestrator:task:{task_id}"


def task_agents(task_id: str) -> str:
    """Sorted set: ids of the agents that served the task → the instant (ms) of their spawn."""
    return f"orchestrator:task-agents:{task_id}"


def status_index(status: str) -> str:
    """Sorted set: agentId → the instant (ms) it entered this status."""
    return f"orchestrator:agents:{status}"


def listed(status: str) -> str:
    """Sorted set: agentId → the instant (ms) it was spawned, of the agents of this status."""
    return f"orchestrator:listed:{status}"


def idempotency(caller: str, key: str) -> str:
    """String: digest of the body and agentId of a spawn, by who asked and the client's key."""
    # Neither an API key's name nor a header nor an argument can hold the separator.
    digest = hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()
    return f"orchestrator:idempotency:{digest}"


def limit(kind: str, name: str) -> str:
    """String: how much a key may still ask; lapses when that is all."""
    return f"orchestrator:limit:{kind}:{name}"


def login(digest: str) -> str:
    """String, JSON: the Login whose code has this SHA-256; lapses."""
    return f"orchestrator:login:{digest}"


def budget_day(now: datetime) -> str:
    """Hash: used, cost, cost:<agentId> and the sums by outcome of the day (UTC) of an instant."""
    return f"orchestrator:budget:day:{now.astimezone(UTC).date().isoformat()}"


def spenders(now: datetime) -> str:
    """Sorted set: agentId → the tokens it has spent on the day (UTC) of this instant."""
    return f"orchestrator:budget:spenders:{now.astimezone(UTC).date().isoformat()}"


def index() -> dict[str, str]:
    """Return the index of every status, by the status."""
    return {status: status_index(status) for status in Status}


def lists() -> dict[str, str]:
    """Return the list of every status in the order of spawns, by the status."""
    return {status: listed(status) for status in Status}


def budget(now: datetime) -> dict[str, str | tuple[str, ...]]:
    """Return the keys of the budget by their names in `lua/_budget.lua`."""
    urgencies = range(MOST_URGENT, LEAST_URGENT - 1, -1)
    return {
        "settings": BUDGET_SETTINGS,
        "limits": BUDGET_LIMITS,
        "reserved": RESERVED,
        "requests": MODEL_REQUESTS,
        "day": budget_day(now),
        "spenders": spenders(now),
        "status": BUDGET_STATUS,
        "slots": SLOTS,
        "waiting": WAITING,
        "uncalled": UNCALLED,
        "awaiting": AWAITING,
        "queues": tuple(queue_key(SPAWN_QUEUE, priority) for priority in urgencies),
    }


def sessions(project: str) -> str:
    """Sorted set: ids of the agent sessions of a project → the instant (ms) of the last append."""
    return f"orchestrator:sessions:{project}"


def session_subpaths(project: str, session: str) -> str:
    """Sorted set: subpaths of a session's further transcripts → the instant (ms) of the last."""
    return f"orchestrator:session-subpaths:{_joined(project, session)}"


def session_transcript(project: str, session: str, subpath: str) -> str:
    """List: the entries (JSON) of one transcript of a session, oldest first; large in parts."""
    return f"orchestrator:session:{_joined(project, session, subpath)}"


def session_uuids(project: str, session: str, subpath: str) -> str:
    """Set: the uuids of the entries of that transcript."""
    return f"orchestrator:session-uuids:{_joined(project, session, subpath)}"


def session_mark(project: str, session: str, subpath: str) -> str:
    """String: how many entries of that transcript are kept, and a digest of them all."""
    return f"orchestrator:session-mark:{_joined(project, session, subpath)}"


def _joined(*names: str) -> str:
    # Several free names in one key: none of them may hold what parts them.
    return ":".join(quote(name, safe="") for name in names)
