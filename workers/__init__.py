"""Where Celery runs the work: tasks are adapters, each one call into the orchestrator."""
