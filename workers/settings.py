"""The settings of a process of Celery, read once.

A forked child has those of its parent, also if the folder of `.env` has gone since the start.
"""

from __future__ import annotations

from functools import cache

from orchestrator.settings import Settings, load_settings


@cache
def own_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsInvalid: a setting is wrong.
    """
    return load_settings()
