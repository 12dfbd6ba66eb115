"""The Celery package: each task is an adapter with one call into the orchestrator."""
