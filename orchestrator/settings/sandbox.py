"""The settings of what agents and gates run in."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env


class SandboxSettings(BaseSettings):
    """Where programs run, and how long one may go on without a word of its worker."""

    sandbox_enabled: bool = env("SANDBOX_ENABLED", default=False)
    docker_socket: Path = env("DOCKER_SOCKET", default=Path("/var/run/docker.sock"))
    supervisor_deadline_s: Duration = env("ORCHESTRATOR_SUPERVISOR_DEADLINE", default=10.0)
