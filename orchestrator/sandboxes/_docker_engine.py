"""The calls to the Docker Engine, and the translation of its refusals to this package's errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from orchestrator.errors import BackendUnavailable, SandboxUnavailable

#: An engine without a response for so long counts as unreachable; the start of a container takes
#: longest.
_TIMEOUT_S, _START_TIMEOUT_S = 15, 120
_NS_IN_S = 1e9
_US_IN_S = 1e6
#: The files with the processor time of a container: cgroup v1 and v2, without and with systemd.
_CPU_FILES = (
    "/sys/fs/cgroup/cpuacct/docker/{}/cpuacct.usage",
    "/sys/fs/cgroup/cpuacct/system.slice/docker-{}.scope/cpuacct.usage",
    "/sys/fs/cgroup/docker/{}/cpu.stat",
    "/sys/fs/cgroup/system.slice/docker-{}.scope/cpu.stat",
)


@dataclass(frozen=True)
class ContainerEnd:
    """The end of a container, as the engine reports it."""

    exit_code: int
    #: Whether a process of it was killed because it ran out of memory; not always the first
    #: process.
    ran_out_of_memory: bool


@dataclass(frozen=True)
class Container:
    """A container of the engine."""

    name: str
    agent_id: str
    is_running: bool


class Engine:
    """One Docker Engine, by its socket."""

    def __init__(self, path: Path) -> None:
        self._socket = path
        #: The version of its API; the first request determines it.
        self._version = "auto"

    def version(self, image: str) -> str:
        """Return the engine's version, after the check that it has the image."""
        with self._asked() as client:
            client.inspect_image(image)  # type: ignore[no-untyped-call]
            return str(client.version()["Version"])

    def image_digest(self, image: str) -> str:
        """Return the digest of an image; raises the errors of `create`."""
        with self._asked() as client:
            return str(client.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]

    def image(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the descriptions of an image and of the engine; raises the errors of `create`."""
        with self._asked() as client:
            return client.inspect_image(name), client.version()  # type: ignore[no-untyped-call]

    def ping(self) -> bool:
        """Return whether the engine responds."""
        try:
            with self._asked() as client:
                client.ping()
        except SandboxUnavailable:
            return False
        return True

    def create(self, name: str, host: Mapping[str, Any], config: Mapping[str, Any]) -> str:
        """Create a container; returns its id.

        Raises:
            BackendUnavailable: there is no such image, or the engine refuses the container.
            SandboxUnavailable: the engine does not respond, or has a fault.
        """
        with self._asked() as client:
            host_config = client.create_host_config(**host)
            client.timeout = _START_TIMEOUT_S
            made = client.create_container(name=name, host_config=host_config, **config)
            return str(made["Id"])

    def start(self, name: str) -> None:
        """Start a container; raises the errors of `create`."""
        with self._asked() as client:
            client.timeout = _START_TIMEOUT_S
            client.start(name)

    def attach(self, name: str) -> socket.SocketIO:
        """Return the connection for the output of a container that will start next."""
        with self._asked() as client:
            stream: socket.SocketIO = client.attach_socket(
                name, params={"stdout": 1, "stderr": 1, "stream": 1}
            )
            return stream

    def kill(self, name: str) -> None:
        """Kill every process of a container; one that does not run is left unchanged."""
        with self._asked(HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND) as client:
            client.kill(name)

    def await_end(self, name: str) -> ContainerEnd:
        """Wait until the engine reports its end.

        Raises:
            SandboxUnavailable: the engine does not respond, or has no such container.
        """
        with self._asked() as client:
            try:
                client.wait(name)
                state = client.inspect_container(name)["State"]
            except NotFound as error:
                raise SandboxUnavailable(str(error)) from error
            return ContainerEnd(state["ExitCode"], bool(state["OOMKilled"]))

    def remove(self, name: str) -> None:
        """Kill and remove a container; one that does not exist is no error."""
        with self._asked(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT) as client:
            client.remove_container(name, v=True, force=True)

    def list(self, label: str) -> tuple[Container, ...]:
        """Return every container with this `label=value`."""
        with self._asked() as client:
            return tuple(
                Container(
                    found["Names"][0].lstrip("/"),
                    found["Labels"].get("orchestrator.agent", ""),
                    found["State"] == "running",
                )
                for found in client.containers(all=True, filters={"label": label})
            )

    def first_pid(self, name: str) -> int:
        """Return the pid of its first process on this host; 0 if it does not run."""
        with self._asked(HTTPStatus.NOT_FOUND) as client:
            return int(client.inspect_container(name)["State"]["Pid"])
        return 0

    def cpu_s(self, container_id: str) -> float:
        """Return the processor time of its processes in seconds."""
        for path in _CPU_FILES:
            with suppress(OSError):
                words = Path(path.format(container_id)).read_text(encoding="ascii").split()
                if words[0] == "usage_usec":
                    return int(words[1]) / _US_IN_S
                return int(words[0]) / _NS_IN_S
        # A worker in a container does not see these files. The engine takes up to a second.
        with self._asked() as client:
            stats = client.stats(container_id, stream=False, one_shot=True)
            return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / _NS_IN_S

    @contextmanager
    def _asked(self, *accepted: HTTPStatus) -> Iterator[docker.APIClient]:
        try:
            with closing(self._connect()) as client:
                yield client
        except ImageNotFound as error:
            msg = f"The engine has no such image ({error.explanation})."
            action = "Run `make sandbox-image`, or set ORCHESTRATOR_SANDBOX_IMAGE."
            raise BackendUnavailable(msg, action=action) from error
        except APIError as error:
            if error.status_code in accepted:
                return
            if error.is_client_error():
                msg = f"The engine refuses: {error.explanation}"
                raise BackendUnavailable(msg) from error
            msg = f"The engine failed: {error.explanation}"
            raise SandboxUnavailable(msg) from error
        except (DockerException, RequestException, OSError) as error:
            msg = f"No engine answers at {self._socket} ({type(error).__name__})."
            raise SandboxUnavailable(msg) from error

    def _connect(self) -> docker.APIClient:
        # The socket is tested first, because the library leaves a failed socket open.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._socket))
        # One client for each request: any thread may ask, and no connection stays open.
        client = docker.APIClient(f"unix://{self._socket}", self._version, timeout=_TIMEOUT_S)
        self._version = client.api_version
        return client
