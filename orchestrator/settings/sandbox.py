"""The settings of the sandbox of agents and gates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field

from orchestrator.settings.images import check_pattern, is_allowed, is_same
from orchestrator.settings.values import Duration, SettingsGroup, env, split_paths

#: Below these limits neither a shell nor the Docker Engine starts a program.
_LEAST_MEMORY_BYTES = 16 * 2**20
_LEAST_PIDS = 8
_HOST = re.compile(r"([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_HTTPS = "443"


def _parse_hosts(text: object) -> object:
    """Parse `example.org, example.com:8443` into a list of `name:port`."""
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


def _parse_patterns(text: object) -> object:
    if not isinstance(text, str):
        return text
    return tuple(check_pattern(entry) for entry in text.replace(",", " ").split())


class SandboxSettings(SettingsGroup):
    """Where programs run, what they can reach, and their resource limits."""

    sandbox_enabled: bool = env(
        "SANDBOX_ENABLED",
        description="`true`: run agents, hooks and gates in Docker containers.",
        default=False,
    )
    docker_socket: Path = env(
        "DOCKER_SOCKET",
        description="The socket of the Docker Engine.",
        default=Path("/var/run/docker.sock"),
    )
    docker_proxy: Path = env(
        "ORCHESTRATOR_DOCKER_PROXY",
        description="The socket on which the Docker socket proxy (`orch run docker-proxy`)"
        " listens.",
        default=Path("/run/orchestrator/docker_proxy"),
    )
    supervisor_deadline_s: Duration = env(
        "ORCHESTRATOR_SUPERVISOR_DEADLINE",
        description="How long a program may run without a heartbeat from its worker. It must be"
        " shorter than ORCHESTRATOR_LEASE.",
        default=10.0,
    )
    sandbox_network: Literal["host", "proxy"] = env(
        "ORCHESTRATOR_SANDBOX_NETWORK",
        description="`host`: agents have the host's network. `proxy`: agents reach only the"
        " egress proxy. In Docker it is always `proxy`.",
        default="host",
    )
    egress_hosts: Annotated[tuple[str, ...], BeforeValidator(_parse_hosts)] = env(
        "ORCHESTRATOR_EGRESS_HOSTS",
        description="The hosts that the egress proxy lets agents reach in addition to the model"
        " API, as `name` (port 443) or `name:port`, separated by commas or spaces. Wildcards are"
        " not supported.",
        default=(),
    )
    egress_model_fetches: bool = env(
        "ORCHESTRATOR_EGRESS_MODEL_FETCHES",
        description="`true`: agents may use features of the model provider that send requests to"
        " other hosts: web tools, MCP servers, and images and documents given by URL.",
        default=False,
    )
    process_level: Literal["auto", "bubblewrap", "cgroup", "shim"] = env(
        "ORCHESTRATOR_PROCESS_LEVEL",
        description="The confinement level of programs outside Docker. `auto` is the strongest"
        " level that works on this host. With any other value, nothing starts unless that level"
        " works.",
        default="auto",
    )
    process_readable: Annotated[tuple[Path, ...], BeforeValidator(split_paths)] = env(
        "ORCHESTRATOR_PROCESS_READABLE",
        description="Folders that programs at level bubblewrap may read too, separated by colons.",
        default=(),
    )
    disk_quota_bytes: Annotated[ByteSize, Field(ge=1)] = env(
        "ORCHESTRATOR_DISK_QUOTA",
        description="The size limit of one workspace, and of one file in it, such as 500MiB. An"
        " agent over the limit fails.",
        default=ByteSize(10 * 2**30),
    )
    disk_low_water_bytes: ByteSize = env(
        "ORCHESTRATOR_DISK_LOW_WATER",
        description="The free disk space below which no agent starts on this host. 0 means no"
        " minimum.",
        default=ByteSize(2**30),
    )
    sandbox_image: str = env(
        "ORCHESTRATOR_SANDBOX_IMAGE",
        description="The image of the containers. docs/sandboxes.md lists what it must contain.",
        default="orchestrator-sandbox:local",
    )
    allowed_images: Annotated[tuple[str, ...], BeforeValidator(_parse_patterns)] = env(
        "ORCHESTRATOR_ALLOWED_IMAGES",
        description="The images that `image` of [environment] in a repository may name, beside the"
        " image of the sandbox: patterns such as `python:3.*` or `registry.example.org/ci/*`,"
        " separated by commas or spaces. `*` matches any text without a slash, `**` any text.",
        default=(),
    )
    sandbox_memory_bytes: Annotated[ByteSize, Field(ge=_LEAST_MEMORY_BYTES)] = env(
        "ORCHESTRATOR_SANDBOX_MEMORY",
        description="The memory limit of one container, without swap, at least 16MiB.",
        default=ByteSize(4 * 2**30),
    )
    sandbox_cpus: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = env(
        "ORCHESTRATOR_SANDBOX_CPUS",
        description="The processor limit of one container, at least 0.01.",
        default=2.0,
    )
    sandbox_pids: Annotated[int, Field(ge=_LEAST_PIDS)] = env(
        "ORCHESTRATOR_SANDBOX_PIDS",
        description="The most processes and threads of one container, at least 8.",
        default=512,
    )

    @property
    def has_egress_proxy(self) -> bool:
        """Whether the egress proxy is the programs' only network; in Docker it always is."""
        return self.sandbox_enabled or self.sandbox_network == "proxy"

    def allows_image(self, name: str) -> bool:
        """Return whether a repository may name an image: the operator's own is always allowed."""
        return is_same(name, self.sandbox_image) or is_allowed(name, self.allowed_images)
