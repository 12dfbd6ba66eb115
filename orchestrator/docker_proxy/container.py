"""The containers that may be created: those of the docker sandbox, serialized again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from orchestrator.host.processes import system_label
from orchestrator.interfaces.provider import Refused
from orchestrator.settings import Settings

_AGENT, _ATTEMPT = "orchestrator.agent", "orchestrator.attempt"
_HOST, SYSTEM = "orchestrator.host", "orchestrator.system"
#: Folders of the home; a sandbox may get a folder below them.
_WRITABLE = ("candidates", "environments")
_READABLE = ("bin", "candidates", "containers", "egress", "environments", "mirrors")
_CPU_PERIOD_US = 100_000

#: Below 2³¹, and neither the user nor the group is root's.
_USER = r"^[1-9][0-9]{0,8}:[1-9][0-9]{0,8}$"
#: An image that a repository names is asked for by its id.
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_TMP = r"^rw,noexec,nosuid,nodev,size=[1-9][0-9]{0,3}m,mode=1777$"


class _Asked(BaseModel):
    # The engine ignores the case of names and accepts some twice, so the request is serialized
    # again.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_pascal)


class _LogConfig(_Asked):
    type: Literal["none"]
    config: dict[str, str] = Field(max_length=0)


class _Healthcheck(_Asked):
    """No check of the image's own."""

    test: tuple[Literal["NONE"]]
    # The client sends all of them.
    interval: None = None
    timeout: None = None
    retries: None = None
    start_period: None = None


class _Mount(_Asked):
    """A mount without options, so that no later mount propagates in either direction."""

    type: Literal["bind"]
    source: str
    target: str
    read_only: bool


class _Tmpfs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tmp: Annotated[str, Field(pattern=_TMP, alias="/tmp")]  # noqa: S108 - inside


class _HostConfig(_Asked):
    memory: int
    memory_swap: int
    cpu_period: Literal[100_000]
    cpu_quota: int
    pids_limit: int
    oom_score_adj: Literal[500]
    ipc_mode: Literal["private"]
    network_mode: Literal["none"]
    readonly_rootfs: Literal[True]
    cap_drop: tuple[Literal["ALL"]]
    security_opt: tuple[Literal["no-new-privileges"]]
    log_config: _LogConfig
    tmpfs: _Tmpfs
    mounts: tuple[_Mount, ...]


class Container(_Asked):
    """The allowed body of `POST /containers/create`; any other field is refused."""

    user: Annotated[str, Field(pattern=_USER)]
    image: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    healthcheck: _Healthcheck
    working_dir: Literal["/"]
    stop_signal: Literal["SIGKILL"]
    tty: Literal[False]
    open_stdin: Literal[False]
    stdin_once: Literal[False]
    attach_stdin: Literal[False]
    attach_stdout: Literal[True]
    attach_stderr: Literal[True]
    network_disabled: Literal[False]
    labels: dict[str, str]
    host_config: _HostConfig


class Rules:
    """What the settings allow one system's containers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: The value of the label `SYSTEM` on this system's containers.
        self.system = system_label(settings.home)
        home, workspaces = settings.home, settings.workspaces_dir
        self._writable = (workspaces, *(home / name for name in _WRITABLE))
        self._readable = (workspaces, *(home / name for name in _READABLE))

    def allows_image(self, name: str) -> bool:
        """Return whether the image of this name may be described."""
        return name == self._settings.sandbox_image or self._settings.allows_image(name)

    def checked(self, name: str, body: bytes) -> tuple[bytes, str]:
        """Return the body for the engine in place of this one, and the image's id to check.

        The id is empty for the operator's own image.

        Raises:
            Refused: the docker sandbox makes no such container.
        """
        try:
            asked = Container.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            msg = f"a container's {where or 'description'}: {first['msg']}"
            raise Refused(msg) from error
        is_own = asked.image == self._settings.sandbox_image
        if not is_own and not _IMAGE_ID.fullmatch(asked.image):
            msg = f"image {asked.image} is not {self._settings.sandbox_image}, and no image's id"
            raise Refused(msg)
        self._check_labels(name, asked.labels)
        self._check_limits(asked.host_config)
        for mount in asked.host_config.mounts:
            self.check_source(mount.source, writable=not mount.read_only)
        return asked.model_dump_json(by_alias=True).encode(), "" if is_own else asked.image

    def check_source(self, source: str, *, writable: bool) -> None:
        """Check the source of a mount in its current state.

        Raises:
            Refused: it is not below an allowed folder, or its path contains a link.
        """
        try:
            found = Path(source).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            msg = f"mount {source}: there is no such path"
            raise Refused(msg) from error
        if str(found) != source:
            msg = f"mount {source}: the path is not the one it leads to"
            raise Refused(msg)
        roots = self._writable if writable else self._readable
        # Only below a root: a mount of a whole root would expose the folders of every agent.
        if not _is_below(found, roots):
            how = "writable" if writable else "readable"
            msg = f"mount {source}: not below a folder that may be {how}"
            raise Refused(msg)

    def _check_labels(self, name: str, labels: dict[str, str]) -> None:
        is_named = name.startswith(f"{labels.get(_AGENT)}.{labels.get(_ATTEMPT)}.")
        if set(labels) != {_AGENT, _ATTEMPT, _HOST, SYSTEM} or not is_named:
            msg = f"container {name} does not name its agent and attempt in name and labels"
            raise Refused(msg)
        if labels[SYSTEM] != self.system:
            msg = f"label {SYSTEM} is not {self.system}"
            raise Refused(msg)

    def _check_limits(self, host: _HostConfig) -> None:
        settings = self._settings
        limits = {
            "Memory": (host.memory, int(settings.sandbox_memory_bytes)),
            "CpuQuota": (host.cpu_quota, int(settings.sandbox_cpus * _CPU_PERIOD_US)),
            "PidsLimit": (host.pids_limit, settings.sandbox_pids),
        }
        for what, (asked, most) in limits.items():
            # Zero and negative values mean no limit.
            if not 0 < asked <= most:
                msg = f"{what} {asked} is not from 1 to {most}"
                raise Refused(msg)
        if host.memory_swap != host.memory:
            msg = "MemorySwap is not Memory"
            raise Refused(msg)


def _is_below(path: Path, roots: Iterable[Path]) -> bool:
    resolved = {root.resolve() for root in roots}
    return not resolved.isdisjoint(path.parents)
