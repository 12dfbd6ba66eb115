"""The messages of the broker: task names, queues, priorities, Celery's envelope and result.

The envelope and the result are Celery's own wire formats (protocol 2, kombu's virtual transport).
They are built here, so that one script can store a state together with its message. Tests compare
both with the output of Celery.
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
#: The sweep has its own queue, so a pause of `cleanup` does not stop the recovery. The workers of
#: the cleanup pool serve both.
SWEEP_QUEUE = "sweep"
QUEUES = (SPAWN_QUEUE, GATES_QUEUE, CLEANUP_QUEUE)
#: The task of a stage → its queue.
QUEUE_OF_TASK = {
    SPAWN_TASK: SPAWN_QUEUE,
    GATE_CHECK_TASK: GATES_QUEUE,
    CLEANUP_TASK: CLEANUP_QUEUE,
}

#: The least and the most urgent priority (CONTRACT.md).
LEAST_URGENT, MOST_URGENT = 1, 10
DEFAULT_PRIORITY = 5
#: Celery's priorities, 0 first; Valkey has one list for each.
PRIORITY_STEPS = tuple(range(10))
#: kombu's default, so that other clients need no transport options.
PRIORITY_SEPARATOR = "\x06\x16"


def celery_priority(priority: int) -> int:
    """Return Celery's priority (0 first) for the contract's (1 to 10, 10 most urgent)."""
    return MOST_URGENT - priority


def contract_priority(celery: int) -> int:
    """Return the contract's priority for Celery's; the default for 0.

    Celery writes 0 for a message without a priority. Values outside 0 to 9 are clamped.
    """
    clamped = min(max(celery, PRIORITY_STEPS[0]), PRIORITY_STEPS[-1])
    return DEFAULT_PRIORITY if celery == 0 else MOST_URGENT - clamped


def queue_key(queue: str, priority: int) -> str:
    """Return the key of kombu's list for a queue and a priority of the contract (1 to 10)."""
    step = celery_priority(priority)
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue


def agent_of(message: bytes) -> str:
    """Return the agentId of a queued message; empty if it is not a message of Celery."""
    try:
        return str(json.loads(message)["headers"]["id"]).partition(".")[0]
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True)
class StageMessage:
    """A message to a pool: task, agent, attempt and priority (1 to 10, 10 most urgent)."""

    task: str
    queue: str
    agent_id: str
    priority: int
    attempt: int = 0

    @property
    def task_id(self) -> str:
        """The Celery task id: the agentId for a spawn, otherwise an id that starts with it."""
        if self.task == SPAWN_TASK:
            return self.agent_id
        return f"{self.agent_id}.{self.task.rpartition('.')[2]}.{self.attempt}"

    @property
    def key(self) -> str:
        """The key of the list that receives this message."""
        return queue_key(self.queue, self.priority)

    @property
    def list_number(self) -> int:
        """The number of its list: queue by queue, in each the most urgent first."""
        return QUEUES.index(self.queue) * len(PRIORITY_STEPS) + celery_priority(self.priority)

    @property
    def kwargs(self) -> dict[str, str | int]:
        """The arguments of the task: ids only."""
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
    """Return the key, and channel, of an agent's result in Celery's Redis result backend."""
    return f"celery-task-meta-{agent_id}"


def result_frame(agent_id: str, done_at: datetime) -> tuple[str, str]:
    """Return the text that Celery writes before and after the JSON of a result.

    The Celery state is always SUCCESS, so that `.get()` returns the outcome instead of raising.
    The `status` of the outcome is the agent's final status.
    """
    after: dict[str, object] = {
        "traceback": None,
        "children": [],
        "date_done": done_at.isoformat(),
        "task_id": agent_id,
    }
    return '{"status": "SUCCESS", "result": ', ", " + json.dumps(after)[1:]
