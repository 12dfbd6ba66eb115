"""The settings of what agents and gates run in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env, split_paths

#: Below these neither a shell nor an engine starts anything.
_LEAST_MEMORY_BYTES = 16 * 2**20
_LEAST_PIDS = 8
_HOST = re.compile(r"([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_HTTPS = "443"


def _parse_hosts(text: object) -> object:
    """Parse `example.org, example.com:8443` into `name:port` each."""
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


class SandboxSettings(BaseSettings):
    """Where programs run, how they reach out, and how long they go on without their worker."""

    sandbox_enabled: bool = env(
        "SANDBOX_ENABLED",
        description="`true`: agents, hooks and gates run in Docker containers.",
        default=False,
    )
    docker_socket: Path = env(
        "DOCKER_SOCKET",
        description="The socket of the Docker engine.",
        default=Path("/var/run/docker.sock"),
    )
    docker_proxy: Path = env(
        "ORCHESTRATOR_DOCKER_PROXY",
        description="Where `orch run docker-proxy` listens, before the socket above.",
        default=Path("/run/orchestrator/docker_proxy"),
    )
    supervisor_deadline_s: Duration = env(
        "ORCHESTRATOR_SUPERVISOR_DEADLINE",
        description="How long a program lives on while its worker is silent; must be shorter than"
        " ORCHESTRATOR_LEASE.",
        default=10.0,
    )
    sandbox_network: Literal["host", "proxy"] = env(
        "ORCHESTRATOR_SANDBOX_NETWORK",
        description="`host`: agents have the host's network; `proxy`: none but the egress proxy,"
        " as in Docker always.",
        default="host",
    )
    egress_hosts: Annotated[tuple[str, ...], BeforeValidator(_parse_hosts)] = env(
        "ORCHESTRATOR_EGRESS_HOSTS",
        description="Hosts the egress proxy lets agents reach beside the model, `name` (port 443)"
        " or `name:port`, by commas or blanks; no wildcards.",
        default=(),
    )
    egress_model_fetches: bool = env(
        "ORCHESTRATOR_EGRESS_MODEL_FETCHES",
        description="`true`: agents may have the model's provider reach out for them, by its web"
        " tools, servers of tools (MCP), and images and documents given by address.",
        default=False,
    )
    process_level: Literal["auto", "bubblewrap", "cgroup", "shim"] = env(
        "ORCHESTRATOR_PROCESS_LEVEL",
        description="How far programs outside Docker are confined: `auto` is the strongest that"
        " works here, any other must work or nothing starts.",
        default="auto",
    )
    process_readable: Annotated[tuple[Path, ...], BeforeValidator(split_paths)] = env(
        "ORCHESTRATOR_PROCESS_READABLE",
        description="Folders that programs at level bubblewrap may read besides, by colons.",
        default=(),
    )
    disk_quota_bytes: Annotated[ByteSize, Field(ge=1)] = env(
        "ORCHESTRATOR_DISK_QUOTA",
        description="The disk space of one agent's workspace, and the size of one file, such as"
        " 500MiB; over it the agent fails.",
        default=ByteSize(10 * 2**30),
    )
    disk_low_water_bytes: ByteSize = env(
        "ORCHESTRATOR_DISK_LOW_WATER",
        description="Free disk space below which no agent starts on this host; 0 for none.",
        default=ByteSize(2**30),
    )
    sandbox_image: str = env(
        "ORCHESTRATOR_SANDBOX_IMAGE",
        description="The image containers are made from; docs/sandboxes.md says what it needs.",
        default="orchestrator-sandbox:local",
    )
    sandbox_memory_bytes: Annotated[ByteSize, Field(ge=_LEAST_MEMORY_BYTES)] = env(
        "ORCHESTRATOR_SANDBOX_MEMORY",
        description="Memory of one container, without swap, at least 16MiB.",
        default=ByteSize(4 * 2**30),
    )
    sandbox_cpus: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = env(
        "ORCHESTRATOR_SANDBOX_CPUS",
        description="Processors of one container, at least 0.01.",
        default=2.0,
    )
    sandbox_pids: Annotated[int, Field(ge=_LEAST_PIDS)] = env(
        "ORCHESTRATOR_SANDBOX_PIDS",
        description="Processes and threads of one container, at least 8.",
        default=512,
    )

    @property
    def has_egress_proxy(self) -> bool:
        """Whether programs have no network but a proxy; those in Docker never have another."""
        return self.sandbox_enabled or self.sandbox_network == "proxy"
