"""Runs programs as processes of this host, each under a shim that ends its whole tree.

At every level no process of a program is left when it ends, when `kill` is called, and when the
worker ends. `bubblewrap` confines it as well; at `cgroup` and `shim` it has the permissions of this
user.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from orchestrator.errors import (
    BackendUnavailable,
    SettingsInvalid,
    WorkspaceLost,
    fault_of_host,
)
from orchestrator.host import cgroups
from orchestrator.host.cancel_scope import current, ended_by
from orchestrator.host.processes import process_label, system_label
from orchestrator.host.tree_records import TreeRecords
from orchestrator.interfaces.sandbox import ProcessSpec, SandboxImage
from orchestrator.log import get_logger
from orchestrator.sandboxes._bubblewrap import VIEW_TRIES, Bubblewrap
from orchestrator.sandboxes._heartbeat import Heartbeat
from orchestrator.sandboxes._overlays import is_offered
from orchestrator.sandboxes._process_tree import ProcessTree
from orchestrator.settings import Settings

__all__ = ["ProcessSandbox", "ProcessTree", "build"]

_SHIM = Path(__file__).with_name("_shim.py")
_MEANING = {
    "bubblewrap": "bubblewrap: own processes, one folder to write in, no homes.",
    "cgroup": "cgroup: the whole tree ends at once; nothing is confined.",
    "shim": "shim: the whole tree ends; nothing is confined.",
}

log = get_logger("sandbox")


def build(settings: Settings) -> ProcessSandbox:
    """Build the sandbox at the strongest level of this host, or at the configured level.

    Raises:
        SettingsInvalid: this host does not support the level; the error gives the reason.
    """
    system = system_label(settings.home)
    wanted = settings.process_level
    lacks: list[BackendUnavailable] = []
    confine: Bubblewrap | None = None
    cgroup: Path | None = None
    try:
        confine = Bubblewrap.find(settings) if wanted in ("auto", "bubblewrap") else None
    except BackendUnavailable as error:
        lacks.append(error)
    try:
        cgroup = cgroups.delegated(system) if wanted != "shim" else None
    except BackendUnavailable as error:
        lacks.append(error)
    sandbox = ProcessSandbox(
        settings.supervisor_deadline_s,
        system,
        confine=confine,
        cgroup=cgroup,
        file_limit_bytes=settings.disk_quota_bytes,
        lack=lacks[0] if lacks and confine is None else None,
        records=TreeRecords(settings.home),
    )
    if wanted not in ("auto", sandbox.level):
        msg = f"ORCHESTRATOR_PROCESS_LEVEL: {wanted} cannot be had here. {lacks[0]}"
        raise SettingsInvalid(msg)
    return sandbox


class ProcessSandbox:
    """Starts programs on this host.

    A thread sends heartbeats to every shim. A shim without a heartbeat for `deadline_s` ends its
    tree, so that no program outlives a worker that is stopped or stalled.
    """

    def __init__(
        self,
        deadline_s: float,
        system: str,
        *,
        confine: Bubblewrap | None = None,
        cgroup: Path | None = None,
        file_limit_bytes: int = 0,
        lack: BackendUnavailable | None = None,
        records: TreeRecords | None = None,
    ) -> None:
        self._records = records
        self._heartbeat = Heartbeat(deadline_s)
        self._system = system
        self._confine = confine
        self._cgroup = cgroup
        self._file_limit_bytes = file_limit_bytes
        #: The reason why this host does not support the next level.
        self.lack = lack

    def hides(self, path: Path) -> bool:
        """Return whether a path of this host does not exist for a program."""
        return self._confine is not None and self._confine.hides(path)

    @property
    def level(self) -> str:
        """The level of confinement: `bubblewrap`, `cgroup` or `shim`."""
        if self._confine is not None:
            return "bubblewrap"
        return "shim" if self._cgroup is None else "cgroup"

    def offers_overlays(self, folder: Path) -> bool:
        """Return whether bubblewrap confines programs, and this kernel mounts overlays here."""
        return self._confine is not None and is_offered(folder)

    def image(self) -> str:
        """Return an empty text: the programs are those of this host."""
        return ""

    def find_image(self, name: str) -> SandboxImage:
        """Raise BackendUnavailable: programs run outside images."""
        msg = f"The image {name} can be used in the Docker sandbox only."
        raise BackendUnavailable(msg, action="Set SANDBOX_ENABLED=true.")

    def check(self) -> str:
        """Return the level of confinement."""
        return _MEANING[self.level]

    @contextmanager
    def start(self, spec: ProcessSpec) -> Iterator[ProcessTree]:
        """Start a program; leaving the context kills what is left of its tree.

        The program's environment is `spec.env`, ORCH_AGENT_ID and ORCH_SYSTEM, by which orphan
        processes are found. It leads its own process group in its own session. The current cancel
        scope can end the tree.

        Raises:
            BackendUnavailable: the program does not exist, may not be run, or requires a sandbox
                without a network, which only bubblewrap supports.
            WorkspaceLost: `cwd` does not exist.
        """
        if not spec.has_network and self._confine is None:
            msg = (
                f"{spec.argv[0]}: at level {self.level} no program can be cut off from the network."
            )
            raise BackendUnavailable(msg, action="apt-get install bubblewrap")
        if spec.path:
            path = os.pathsep.join((*spec.path, spec.env.get("PATH", os.defpath)))
            spec = replace(spec, env={**spec.env, "PATH": path})
        with ExitStack() as stack:
            tree = self._started(spec, stack)
            stack.enter_context(ended_by(tree.order_kill))
            yield tree

    def _started(self, spec: ProcessSpec, stack: ExitStack) -> ProcessTree:
        """Start a program; `stack` ends it.

        While bubblewrap makes its view, another program may remove a path that the view hides or
        shows. No program of the agent has run then, so it is tried again with what exists now.
        """
        env = {**spec.env, "ORCH_AGENT_ID": spec.agent_id, "ORCH_SYSTEM": self._system}
        tries = 0
        while True:
            tries += 1
            with ExitStack() as started:
                tree = _start_shim(spec, env, self._shim_arguments(spec), started)
                started.callback(_record, tree)
                started.callback(tree.kill)
                started.enter_context(self._heartbeat.calling(tree.heartbeat))
                try:
                    tree.await_start(spec.argv[0])
                except BackendUnavailable as error:
                    if tries == VIEW_TRIES or not tree.is_view_refused:
                        raise
                    log.info("the view is made again", agentId=spec.agent_id, reason=str(error))
                    continue
                stack.enter_context(started.pop_all())
                return tree

    def _shim_arguments(self, spec: ProcessSpec) -> list[str]:
        cgroup = self._cgroup and self._cgroup / f"{spec.agent_id}.{spec.attempt}"
        return [
            *(
                str(self._heartbeat.deadline_s),
                process_label(os.getpid()),
                str(self._file_limit_bytes),
            ),
            *(str(cgroup or ""), str(int(self._confine is not None)), ""),
            self._records.begin(spec.agent_id, spec.attempt) if self._records else "",
            *(self._confine.command(spec) if self._confine else spec.argv),
        ]


def _record(tree: ProcessTree) -> None:
    if cancel_scope := current():
        cancel_scope.record(
            tree.killed_pids, ended_at_s=tree.ended_at_s, is_proven=tree.has_ended_itself
        )


def _start_shim(
    spec: ProcessSpec, env: Mapping[str, str], arguments: list[str], stack: ExitStack
) -> ProcessTree:
    # Python's descriptors are close-on-exec, and Popen passes only `pass_fds`, so no program that
    # another thread starts at the same time holds this control pipe open.
    selector = stack.enter_context(selectors.DefaultSelector())
    control_read, control = _pipe(stack)
    status, status_write = _pipe(stack)
    fds = (control_read.fileno(), status_write.fileno())
    with control_read, status_write, _input(spec.stdin) as stdin:
        try:
            shim = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SHIM), *map(str, fds), *arguments],
                cwd=spec.cwd,
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            lost = error.filename == spec.cwd
            msg = f"{spec.cwd if lost else spec.argv[0]}: {error.strerror}."
            if fault := fault_of_host(error):
                raise fault(msg) from error
            raise (WorkspaceLost if lost else BackendUnavailable)(msg) from error
    # A pipe full of heartbeats that a stopped shim does not read must not block the writer.
    os.set_blocking(control.fileno(), False)
    stack.enter_context(shim)
    # Closed before the wait for the shim: after any failure from here on, it sees the end of the
    # pipe.
    stack.callback(control.close)
    return ProcessTree(shim, control, status, selector)


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return (
        stack.enter_context(open(read, "rb", buffering=0)),  # noqa: PTH123 - a descriptor
        stack.enter_context(open(write, "wb", buffering=0)),  # noqa: PTH123 - a descriptor
    )


@contextmanager
def _input(data: bytes) -> Iterator[IO[bytes]]:
    """Store the input in memory as a file, so that no unread input blocks a writer."""
    with open(os.memfd_create("stdin"), "w+b") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
        file.seek(0)
        yield file
