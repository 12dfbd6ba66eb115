"""The settings of what agents and gates run in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env

#: Below these neither a shell nor an engine starts anything.
_LEAST_MEMORY_BYTES = 16 * 2**20
_LEAST_PIDS = 8
_HOST = re.compile(r"([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_HTTPS = "443"


def _parse_hosts(text: object) -> object:
    """Parse `pypi.org, example.com:8443` into `name:port` each."""
    if not isinstance(text, str):
        return text
    hosts = []
    for entry in text.lower().replace(",", " ").split():
        match = _HOST.fullmatch(entry)
        if match is None:
            msg = f"{entry} must be a host's name, or name:port; without wildcards or schemes"
            raise ValueError(msg)
        hosts.append(f"{match[1]}:{match[2] or _HTTPS}")
    return tuple(hosts)


def _paths(text: object) -> object:
    return [part for part in text.split(":") if part] if isinstance(text, str) else text


class SandboxSettings(BaseSettings):
    """Where programs run, how they reach out, and how long they go on without their worker."""

    sandbox_enabled: bool = env("SANDBOX_ENABLED", default=False)
    docker_socket: Path = env("DOCKER_SOCKET", default=Path("/var/run/docker.sock"))
    #: Where `orch run engine-filter` listens, before the socket above.
    engine_filter: Path = env(
        "ORCHESTRATOR_ENGINE_FILTER", default=Path("/run/orchestrator/engine")
    )
    supervisor_deadline_s: Duration = env("ORCHESTRATOR_SUPERVISOR_DEADLINE", default=10.0)
    sandbox_network: Literal["host", "proxy"] = env("ORCHESTRATOR_SANDBOX_NETWORK", default="host")
    egress_hosts: Annotated[tuple[str, ...], BeforeValidator(_parse_hosts)] = env(
        "ORCHESTRATOR_EGRESS_HOSTS", default=()
    )
    process_level: Literal["auto", "bubblewrap", "cgroup", "shim"] = env(
        "ORCHESTRATOR_PROCESS_LEVEL", default="auto"
    )
    process_readable: Annotated[tuple[Path, ...], BeforeValidator(_paths)] = env(
        "ORCHESTRATOR_PROCESS_READABLE", default=()
    )
    disk_quota_bytes: Annotated[ByteSize, Field(ge=1)] = env(
        "ORCHESTRATOR_DISK_QUOTA", default=ByteSize(10 * 2**30)
    )
    disk_low_water_bytes: ByteSize = env("ORCHESTRATOR_DISK_LOW_WATER", default=ByteSize(2**30))
    #: The image a container is made from, and what one container may use.
    sandbox_image: str = env("ORCHESTRATOR_SANDBOX_IMAGE", default="orchestrator-sandbox:local")
    sandbox_memory_bytes: Annotated[ByteSize, Field(ge=_LEAST_MEMORY_BYTES)] = env(
        "ORCHESTRATOR_SANDBOX_MEMORY", default=ByteSize(4 * 2**30)
    )
    sandbox_cpus: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = env(
        "ORCHESTRATOR_SANDBOX_CPUS", default=2.0
    )
    sandbox_pids: Annotated[int, Field(ge=_LEAST_PIDS)] = env(
        "ORCHESTRATOR_SANDBOX_PIDS", default=512
    )

    @property
    def has_egress_proxy(self) -> bool:
        """Whether programs have no network but a proxy; those in Docker never have another."""
        return self.sandbox_enabled or self.sandbox_network == "proxy"
