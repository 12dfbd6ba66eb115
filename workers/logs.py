"""The log of every process of Celery is ours: JSON lines without secrets."""

from __future__ import annotations

from typing import Any

from celery.signals import setup_logging

from orchestrator.log import configure_logging
from orchestrator.wiring import with_secrets
from workers.settings import own_settings


@setup_logging.connect
def use_our_logs(**_options: Any) -> None:
    """Prevent Celery from configuring logging."""
    configure_logging(secrets=with_secrets(own_settings()).secrets)
