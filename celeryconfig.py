"""Celery's configuration, as data; every line has its reason (figures: docs/architecture.md)."""

from kombu import Queue

from orchestrator import messages
from orchestrator.settings import load_settings

_settings = load_settings()

# ── broker and results ──────────────────────────────────────────────────────────────────────
# One Valkey for both: an outcome is stored in the same script as the final state.
broker_url = _settings.valkey_url
result_backend = _settings.valkey_url
broker_transport_options = {
    # Ten lists a queue, one per priority; kombu's default makes four buckets.
    "priority_steps": list(messages.PRIORITY_STEPS),
    "sep": messages.PRIORITY_SEPARATOR,
    # Queues are served in the order of a worker's -Q, and within one by priority.
    "queue_order_strategy": "priority",
    # A message is acknowledged as its task starts: one that is not by then was a dead worker's. An
    # hour, kombu's default, is a long time for a raw request, which nobody else knows of.
    "visibility_timeout": 60,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
# Reconnection backs off 2, 4, 6 … 30 s by default: a worker would lag an outage by half a minute.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_connection_timeout = 3

# ── reliability: our lease recovers, never the broker ───────────────────────────────────────
# Late ack ran tasks twice at once after a cut connection, and died on a broker restart.
task_acks_late = False
# The one configuration that survived both with every task run exactly once.
worker_disable_prefetch = True
worker_cancel_long_running_tasks_on_connection_loss = False
# The final outcome is stored under the agentId by the finaliser, not by the stages.
task_ignore_result = True
task_store_errors_even_if_ignored = False

# ── messages ────────────────────────────────────────────────────────────────────────────────
# Arguments are ids and a request: JSON only, nothing that could run.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
task_queues = [Queue(name, routing_key=name) for name in (*messages.QUEUES, messages.SWEEP_QUEUE)]
task_create_missing_queues = False
task_routes = {
    messages.SPAWN_TASK: {"queue": messages.SPAWN_QUEUE},
    messages.GATE_CHECK_TASK: {"queue": messages.GATES_QUEUE},
    messages.CLEANUP_TASK: {"queue": messages.CLEANUP_QUEUE},
    messages.SWEEP_TASK: {"queue": messages.SWEEP_QUEUE},
}
# A message without a priority would count as the most urgent.
task_default_priority = messages.celery_priority(messages.DEFAULT_PRIORITY)
imports = ("workers.signals", "workers.tasks", "workers.broker")
# An entry that is no message would end the worker, with every agent it runs.
worker_consumer = "workers.broker:TolerantConsumer"

# ── what operators see ──────────────────────────────────────────────────────────────────────
# Flower lists tasks from these events.
worker_send_task_events = True
task_send_sent_event = True
task_track_started = True
# Our own structured logs stand as they are.
worker_hijack_root_logger = False
enable_utc = True

# ── the scheduler ───────────────────────────────────────────────────────────────────────────
beat_schedule = {
    "sweep": {
        "task": messages.SWEEP_TASK,
        "schedule": 5.0,
        # A sweep that waited for a busy pool is of no use beside the next.
        "options": {"expires": 5.0, "priority": 0},
    },
}
