"""Celery's configuration as data, with the reason of each line (figures: docs/architecture.md)."""

from kombu import Queue

from orchestrator import messages
from workers.settings import own_settings

_settings = own_settings()

# ── broker and results ──────────────────────────────────────────────────────────────────────
# One Valkey for both: one script stores an outcome together with the final state.
broker_url = _settings.valkey_url
result_backend = _settings.valkey_url
broker_transport_options = {
    # Ten lists per queue, one per priority; kombu's default has four.
    "priority_steps": list(messages.PRIORITY_STEPS),
    "sep": messages.PRIORITY_SEPARATOR,
    # A worker serves queues in the order of its -Q, and each queue by priority.
    "queue_order_strategy": "priority",
    # A message is acknowledged when its task starts; an unacknowledged one belongs to a dead
    # worker. kombu's default of an hour is too long for a raw request: only the broker has it.
    "visibility_timeout": 60,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
# Reconnection backs off 2, 4, 6 … 30 s by default: recovery would lag by up to half a minute.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_connection_timeout = 3
# A refused write, such as one to a replica after a failover, would end the worker with every agent
# that it runs. Then it fetches no messages, and its agents live as long as their leases.
broker_channel_error_retry = True

# ── reliability: our lease recovers, never the broker ───────────────────────────────────────
# Late acknowledgement ran tasks twice after a cut connection, and failed on a broker restart.
task_acks_late = False
# The only configuration in which every task ran exactly once in both cases.
worker_disable_prefetch = True
worker_cancel_long_running_tasks_on_connection_loss = False
# The script of the final transition stores the outcome under the agentId; the stages do not.
task_ignore_result = True
task_store_errors_even_if_ignored = False

# ── messages ────────────────────────────────────────────────────────────────────────────────
# Arguments are ids and a request: JSON only, so that no message can execute code.
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
imports = (
    *("workers.logs", "workers.signals", "workers.tasks", "workers.broker", "workers.sweeping"),
    "workers.revokes",
)
# A malformed entry would end the worker with every agent that it runs.
worker_consumer = "workers.broker:TolerantConsumer"

# ── what operators see ──────────────────────────────────────────────────────────────────────
# Flower lists tasks from these events.
worker_send_task_events = True
task_send_sent_event = True
task_track_started = True
# Celery must not redirect our structured logs.
worker_hijack_root_logger = False
enable_utc = True

# ── the scheduler ───────────────────────────────────────────────────────────────────────────
beat_schedule = {
    "sweep": {
        "task": messages.SWEEP_TASK,
        "schedule": 5.0,
        # A sweep that waits for a busy pool is superseded by the next one.
        "options": {"expires": 5.0, "priority": 0},
    },
}
