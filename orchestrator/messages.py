"""What travels through the broker: task names, queues, Celery's envelope, the mapping of priority.

The envelope and the result are Celery's own wire formats (protocol 2, kombu's virtual transport),
written here so that a state and its message can be stored by one script; tests hold both against
what Celery itself writes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime

SPAWN_TASK = "orchestrator.spawn"
GATE_CHECK_TASK = "orchestrator.gate_check"
CLEANUP_TASK = "orchestrator.cleanup"
SWEEP_TASK = "orchestrator.sweep"

SPAWN_QUEUE = "spawn"
GATES_QUEUE = "gates"
CLEANUP_QUEUE = "cleanup"
#: Of the sweep alone, which the cleanup's workers do too: pausing their queue stops no recovery.
SWEEP_QUEUE = "sweep"
QUEUES = (SPAWN_QUEUE, GATES_QUEUE, CLEANUP_QUEUE)
#: The stage's task → the queue its messages stand in.
QUEUE_OF_TASK = {
    SPAWN_TASK: SPAWN_QUEUE,
    GATE_CHECK_TASK: GATES_QUEUE,
    CLEANUP_TASK: CLEANUP_QUEUE,
}

#: The least and the most urgent priority, as the contract counts.
LEAST_URGENT, MOST_URGENT = 1, 10
DEFAULT_PRIORITY = 5
#: Celery clamps to 0..9, 0 first; one list in Valkey for each.
PRIORITY_STEPS = tuple(range(10))
#: kombu's default, so that a foreign client needs no transport options.
PRIORITY_SEPARATOR = "\x06\x16"


def celery_priority(priority: int) -> int:
    """Map the contract's priority (10 most urgent) to Celery's (0 first)."""
    return MOST_URGENT - priority


def contract_priority(celery: int) -> int:
    """Map Celery's priority to the contract's; Celery writes 0 where the client gave none.

    A client's header may hold more than Celery clamps it to.
    """
    clamped = min(max(celery, PRIORITY_STEPS[0]), PRIORITY_STEPS[-1])
    return DEFAULT_PRIORITY if celery == 0 else MOST_URGENT - clamped


def queue_key(queue: str, priority: int) -> str:
    """Return the list in which kombu keeps messages of this priority (contract's count)."""
    step = celery_priority(priority)
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue


def agent_of(message: bytes) -> str:
    """Return the agent that a queued message is about; empty where it is none of Celery's."""
    try:
        return str(json.loads(message)["headers"]["id"]).partition(".")[0]
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True)
class StageMessage:
    """A message of ours to a pool: which task, for which agent and attempt, how urgent."""

    task: str
    queue: str
    agent_id: str
    priority: int
    attempt: int = 0

    @property
    def task_id(self) -> str:
        """The Celery id: the agent's own for a spawn, else one that starts with it."""
        if self.task == SPAWN_TASK:
            return self.agent_id
        return f"{self.agent_id}.{self.task.rpartition('.')[2]}.{self.attempt}"

    @property
    def key(self) -> str:
        """The list this message is pushed to."""
        return queue_key(self.queue, self.priority)

    @property
    def kwargs(self) -> dict[str, str | int]:
        """What the task is called with: ids only."""
        if self.task == SPAWN_TASK:
            return {}
        return {"agent_id": self.agent_id, "attempt": self.attempt}

    def envelope(self, *, delivery_tag: str, origin: str) -> str:
        """Return the message as kombu's Redis transport stores it."""
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        body = json.dumps([[], self.kwargs, embed])
        return json.dumps(
            {
                "body": base64.b64encode(body.encode()).decode(),
                "content-encoding": "utf-8",
                "content-type": "application/json",
                "headers": {
                    "lang": "py",
                    "task": self.task,
                    "id": self.task_id,
                    "shadow": None,
                    "eta": None,
                    "expires": None,
                    "group": None,
                    "group_index": None,
                    "retries": 0,
                    "timelimit": [None, None],
                    "root_id": self.agent_id,
                    "parent_id": None if self.task == SPAWN_TASK else self.agent_id,
                    "argsrepr": "()",
                    "kwargsrepr": repr(self.kwargs),
                    "origin": origin,
                    "ignore_result": True,
                    "replaced_task_nesting": 0,
                    "stamped_headers": None,
                    "stamps": {},
                },
                "properties": {
                    "correlation_id": self.task_id,
                    "reply_to": "",
                    "delivery_mode": 2,
                    "delivery_info": {"exchange": "", "routing_key": self.queue},
                    "priority": celery_priority(self.priority),
                    "body_encoding": "base64",
                    "delivery_tag": delivery_tag,
                },
            }
        )


def result_key(agent_id: str) -> str:
    """Return where Celery's Redis result backend keeps a result (also its channel)."""
    return f"celery-task-meta-{agent_id}"


def result_frame(agent_id: str, done_at: datetime) -> tuple[str, str]:
    """Return what Celery writes before and after a result's JSON.

    The state is SUCCESS whatever the end: `.get()` must give the outcome, whose `status` tells.
    """
    after: dict[str, object] = {
        "traceback": None,
        "children": [],
        "date_done": done_at.isoformat(),
        "task_id": agent_id,
    }
    return '{"status": "SUCCESS", "result": ', ", " + json.dumps(after)[1:]
