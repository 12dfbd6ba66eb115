"""Runs programs in containers without a network, in which only the workspace is writable."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount

from orchestrator.errors import BackendUnavailable, SandboxLost, SandboxUnavailable, WorkspaceLost
from orchestrator.host.cancel_scope import current, ended_by
from orchestrator.host.processes import process_label, system_label
from orchestrator.interfaces.sandbox import EGRESS_PORT, ProcessSpec, SandboxImage
from orchestrator.log import get_logger
from orchestrator.sandboxes._docker_container import ContainerProcess
from orchestrator.sandboxes._docker_engine import Container, Engine
from orchestrator.sandboxes._docker_folder import INSIDE, Folders, Shared
from orchestrator.sandboxes._docker_images import find_image, naming
from orchestrator.sandboxes._docker_ownership import Loans, Owner
from orchestrator.sandboxes._heartbeat import Heartbeat
from orchestrator.settings import Settings

_SHIM = Path(__file__).with_name("_shim.py")
_FORWARD = Path(__file__).with_name("_port_forward.py")
#: The files of this package.
_OURS = Path(__file__).parents[1]
_PYTHON = ("python3", "-I", "-S")
#: A program below these paths belongs to the image; one elsewhere comes from this host.
_OF_THE_IMAGE = tuple(map(Path, ("/bin", "/sbin", "/usr", "/lib", "/lib64")))
_TMPFS = {"/tmp": "rw,noexec,nosuid,nodev,size=512m,mode=1777"}  # noqa: S108 - inside
_CPU_PERIOD_US = 100_000
#: As of the programs outside Docker, in `_shim.py`.
_OOM_SCORE = 500
_PAUSE_S = 0.25

# The first program: it opens the shared files, reports that, waits until their names are removed,
# and becomes the shim. Its PATH is that of the image, after the folders in $2, which begins with a
# colon; if $2 is empty, it has none. All other variables of the program are in a file, because
# every user can read arguments.
_FIRST = f"""
cd "$1" && exec 3<{INSIDE}/control 4>{INSIDE}/status 5<{INSIDE}/environment <{INSIDE}/stdin || exit
echo open >&4
read -r go <&3
path=$2
shift 2
exec env -i ${{path:+"PATH=${{path#:}}$PATH"}} "$@"
"""

log = get_logger("docker")


def build(settings: Settings) -> DockerSandbox:
    """Build the sandbox; no request is sent to the engine."""
    return DockerSandbox(settings)


class DockerSandbox:
    """Starts each program in its own container."""

    def __init__(self, settings: Settings, *, engine_back_within_s: float = 30.0) -> None:
        self._settings = settings
        #: The time for which a start waits for an engine that restarts.
        self._engine_back_within_s = engine_back_within_s
        self._engine = Engine(settings.docker_socket)
        self._system = system_label(settings.home)
        self._folders = Folders(settings.home / "containers")
        self._loans = Loans()
        self._heartbeat = Heartbeat(settings.supervisor_deadline_s)

    @property
    def level(self) -> str:
        """The level that confines the programs."""
        return "docker"

    def image(self) -> str:
        """Return the configured image and its digest: a name can get another image.

        Raises:
            BackendUnavailable: the engine does not have the image.
            SandboxUnavailable: no engine answers.
        """
        image = self._settings.sandbox_image
        return f"{image} {self._engine.image_digest(image)}"

    def find_image(self, name: str) -> SandboxImage:
        """Return an image that a repository names.

        Raises:
            BackendUnavailable: there is no such image, or its programs are for another platform.
            SandboxUnavailable: no engine answers.
        """
        return find_image(self._engine, name)

    def offers_overlays(self, folder: Path) -> bool:
        """Return False: a container mounts nothing itself."""
        del folder
        return False

    def check(self) -> str:
        """Return the engine's version and the image.

        Raises:
            BackendUnavailable: the engine does not have the image.
            SandboxUnavailable: no engine answers.
        """
        image = self._settings.sandbox_image
        return f"Docker {self._engine.version(image)}, image {image}"

    @contextmanager
    def start(self, spec: ProcessSpec) -> Iterator[ContainerProcess]:
        """Start a program; leaving the context removes its container.

        The program's environment is `spec.env` and ORCH_AGENT_ID, but PATH is the image's. An image
        of a repository adds its variables. The program runs as the workspace's owner, or as an
        unused user if that owner is root. The current cancel scope can end the tree.

        Raises:
            BackendUnavailable: the program does not exist or may not be run, or there is no image.
            SandboxUnavailable: no engine responds.
            WorkspaceLost: `cwd` does not exist.
        """
        if not spec.cwd.is_dir():
            msg = f"{spec.cwd}: No such folder."
            raise WorkspaceLost(msg)
        with ExitStack() as stack:
            owner = stack.enter_context(self._loans.lent(spec.root or spec.cwd))
            label = f"{spec.agent_id}.{spec.attempt}"
            env = {**(spec.image.variables if spec.image else {}), **spec.env}
            env.pop("PATH", None)
            environment = b"\0".join(os.fsencode(f"{name}={env[name]}") for name in env)
            shared = stack.enter_context(
                self._folders.shared(label, owner=owner, stdin=spec.stdin, environment=environment)
            )
            with naming(spec.image):
                process = self._launch(spec, shared, owner, stack)
                stack.enter_context(self._heartbeat.calling(process.heartbeat))
                stack.enter_context(ended_by(process.order_kill))
                process.await_start(spec.argv[0])
            yield process

    def _launch(
        self, spec: ProcessSpec, shared: Shared, owner: Owner, stack: ExitStack
    ) -> ContainerProcess:
        if spec.egress and os.geteuid() == 0:
            os.chown(spec.egress, *owner)
        config = self._config(spec, owner)
        host = self._host(spec, shared)
        stack.callback(self._remove, shared.name)
        container_id = self._create(shared.name, host, config)
        stream = self._engine.attach(container_id)
        memory = f"{self._settings.sandbox_memory_bytes.human_readable()} of memory"
        limit = f"its limit of {memory} (ORCHESTRATOR_SANDBOX_MEMORY)"
        process = ContainerProcess(self._engine, container_id, shared, stream, limit)
        stack.callback(process.close)
        self._engine.start(container_id)
        stack.callback(self._end, process, shared.name)
        return process

    def _config(self, spec: ProcessSpec, owner: Owner) -> Mapping[str, Any]:
        forward = (*_PYTHON, f"{INSIDE}.forward", str(spec.egress), str(EGRESS_PORT))
        shim = (*_PYTHON, f"{INSIDE}.shim", "3", "4", str(self._settings.supervisor_deadline_s))
        return {
            "image": spec.image.digest if spec.image else self._settings.sandbox_image,
            # A check of the image's own would be a process beside the program.
            "healthcheck": {"test": ["NONE"]},
            "entrypoint": ["/bin/sh", "-c", _FIRST, "sh"],
            "command": [
                *(str(spec.cwd), _path_of(spec)),
                *(f"ORCH_AGENT_ID={spec.agent_id}", *shim, process_label(os.getpid())),
                # The largest file; no cgroup but the container's; no further confinement; no record
                # but the container.
                *(str(self._settings.disk_quota_bytes), "", "0", "5", ""),
                *(forward if spec.egress else ()),
                # This host's Python runs only single files here, which any Python can run.
                *(_PYTHON[:1] if spec.argv[0] == sys.executable else spec.argv[:1]),
                *spec.argv[1:],
            ],
            "user": f"{owner.uid}:{owner.gid}",
            "working_dir": "/",
            # The supervisor ignores the other signals that a stopping engine would send and wait
            # for.
            "stop_signal": "SIGKILL",
            "labels": {
                "orchestrator.agent": spec.agent_id,
                "orchestrator.attempt": str(spec.attempt),
                "orchestrator.host": socket.gethostname(),
                "orchestrator.system": self._system,
            },
        }

    def _host(self, spec: ProcessSpec, shared: Shared) -> Mapping[str, Any]:
        settings = self._settings
        root = spec.root or spec.cwd
        read_only = [(_lent(path, shared), str(path)) for path in spec.readable]
        read_only += [(str(shared.inside), INSIDE), (_lent(_SHIM, shared), f"{INSIDE}.shim")]
        if spec.egress:
            read_only += [(str(spec.egress),) * 2, (_lent(_FORWARD, shared), f"{INSIDE}.forward")]
        program = Path(spec.argv[0])
        if program.is_absolute() and program.is_file() and spec.argv[0] != sys.executable:
            seen = (root, *spec.readable, *_OF_THE_IMAGE)
            if not any(program.is_relative_to(folder) for folder in seen):
                read_only += [(str(program),) * 2]
        if spec.image and spec.image.volumes:
            # Otherwise the engine would make writable folders on its own disk.
            empty = shared.inside.with_name("empty")
            empty.mkdir()
            read_only += [(str(empty), at) for at in spec.image.volumes if at not in _TMPFS]
        return {
            "mounts": [
                Mount(str(root), str(root), type="bind"),
                *(Mount(to, source, type="bind", read_only=True) for source, to in read_only),
            ],
            "read_only": True,
            "tmpfs": _TMPFS,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "network_mode": "none",
            "ipc_mode": "private",
            "mem_limit": int(settings.sandbox_memory_bytes),
            # Equal to the memory: no swap.
            "memswap_limit": int(settings.sandbox_memory_bytes),
            "cpu_period": _CPU_PERIOD_US,
            "cpu_quota": int(settings.sandbox_cpus * _CPU_PERIOD_US),
            "pids_limit": settings.sandbox_pids,
            # If the host's memory runs out, the kernel ends programs before a worker or Valkey.
            "oom_score_adj": _OOM_SCORE,
            # Otherwise the engine would store all output on its own disk.
            "log_config": LogConfig(type=LogConfig.types.NONE),
        }

    def _create(self, name: str, host: Mapping[str, Any], config: Mapping[str, Any]) -> str:
        """Create a container, if necessary after the return of the engine; a kill ends the wait."""
        is_killed, is_again = threading.Event(), False
        deadline = time.monotonic() + self._engine_back_within_s
        with ended_by(is_killed.set):
            while True:
                try:
                    if is_again:
                        # It may have been created before the engine went down; no other container
                        # has this name.
                        self._engine.remove(name)
                    return self._engine.create(name, host, config)
                except SandboxUnavailable:
                    is_again = True
                    while not self._engine.ping():
                        if is_killed.wait(_PAUSE_S) or time.monotonic() > deadline:
                            raise
                    if time.monotonic() > deadline:
                        raise

    def _end(self, process: ContainerProcess, name: str) -> None:
        try:
            process.kill()
        except (SandboxLost, SandboxUnavailable) as error:
            log.warning("not seen to end", container=name, reason=str(error))
        if cancel_scope := current():
            cancel_scope.record(
                (), ended_at_s=process.ended_at_s, is_proven=process.has_ended_itself
            )

    def _remove(self, name: str) -> None:
        try:
            self._engine.remove(name)
        except (SandboxUnavailable, BackendUnavailable) as error:
            # No process holds it any more, so the next sweep of this host removes it.
            log.warning("not removed", container=name, reason=str(error))

    # ── orphan containers ───────────────────────────────────────────────────────────────────

    def end_orphans(self) -> frozenset[str]:
        """Remove every container that no live worker holds; return the agents of those that ran.

        Raises:
            SandboxUnavailable: no engine responds.
        """
        left = self._left()
        for container in left:
            self._engine.remove(container.name)
        names = {container.name for container in self._listed()}
        for name in self._folders.names() - names:
            if not self._folders.is_held(name):
                self._folders.remove(name)
        return frozenset(container.agent_id for container in left if container.is_running)

    def orphans(self) -> Mapping[str, tuple[int, ...]]:
        """Return the first processes of running containers that no live worker holds, by agent.

        Raises:
            SandboxUnavailable: no engine responds.
        """
        pids: dict[str, tuple[int, ...]] = {}
        for container in self._left():
            if container.is_running and (pid := self._engine.first_pid(container.name)):
                pids[container.agent_id] = (*pids.get(container.agent_id, ()), pid)
        return pids

    def end_all(self) -> frozenset[str]:
        """Remove every container of this system, held or not; return their agents.

        Raises:
            SandboxUnavailable: no engine responds.
        """
        found = self._listed()
        for container in found:
            self._engine.remove(container.name)
        return frozenset(container.agent_id for container in found)

    def _left(self) -> tuple[Container, ...]:
        return tuple(one for one in self._listed() if not self._folders.is_held(one.name))

    def _listed(self) -> tuple[Container, ...]:
        return self._engine.list(f"orchestrator.system={self._system}")


def _path_of(spec: ProcessSpec) -> str:
    """Return the folders before the PATH of the image; empty for a program without PATH."""
    return "".join([":", *(f"{folder}:" for folder in spec.path)]) if spec.env.get("PATH") else ""


def _lent(path: Path, shared: Shared) -> str:
    """Return the path for the engine; this package's files are copied to the shared folder.

    If the worker runs in a container itself, the host has the home, but not the package.
    """
    if not path.is_relative_to(_OURS):
        return str(path)
    copy = shared.inside.with_name(path.name)
    shutil.copyfile(path, copy)
    copy.chmod(0o644)
    return str(copy)
