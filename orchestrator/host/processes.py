"""The processes of agents on this host: finds them by labels in their environment, ends them."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from orchestrator.host import cgroups

#: The process labels: variables in the environment of every process of an agent.
AGENT_LABEL = b"ORCH_AGENT_ID="
SYSTEM_LABEL = b"ORCH_SYSTEM="
#: The label of the orchestrator's own programs that a worker runs without a shim, such as git.
OWNER_LABEL = b"ORCH_OWNER="
_SHIM = os.fsencode(Path(__file__).parent.parent / "sandboxes" / "_shim.py")
_OWNER_ARGUMENT = 3
_PAUSE_S = 0.01
#: Processes start and end during a scan, so an orphan process must appear in a second scan.
_SECOND_LOOK_S = 0.1
#: A scan ends after so many passes, even if each pass finds new processes.
_PASSES = 10


@dataclass(frozen=True)
class LabelledProcess:
    """A process of an agent, or the shim above its processes."""

    pid: int
    #: `pid:start`.
    mark: str
    parent: int
    agent_id: str
    is_shim: bool
    #: For a shim: whether the process that started it is still its parent.
    has_owner: bool = False
    #: For a program without a shim: the worker process that must be its ancestor, `pid:start`.
    owner: str = ""


def system_label(home: Path) -> str:
    """Return the label of this system's processes, by which two systems on one host differ."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def process_label(pid: int) -> str:
    """Return `pid:start`, which is unique since the boot; empty if the process has ended."""
    with suppress(OSError):
        return f"{pid}:{_stat(pid)[19]}"
    return ""


@runtime_checkable
class RunsElsewhere(Protocol):
    """A sandbox whose programs are not descendants of their worker, such as containers.

    Each method raises SandboxUnavailable if the programs cannot be listed.
    """

    def end_orphans(self) -> frozenset[str]:
        """End and remove the programs without a live worker; return the agents that still ran."""
        ...

    def orphans(self) -> Mapping[str, tuple[int, ...]]:
        """Return the pids on this host of the programs without a live worker, by agent."""
        ...

    def end_all(self) -> frozenset[str]:
        """End and remove all programs of this system; return their agents."""
        ...


class Host:
    """The processes of all agents of one system on this host.

    With `elsewhere` the methods raise SandboxUnavailable if that sandbox cannot be read.
    """

    def __init__(self, home: Path, elsewhere: RunsElsewhere | None = None) -> None:
        self._system = system_label(home)
        self._elsewhere = elsewhere

    def end_orphans(self, *, within_s: float) -> frozenset[str]:
        """End every orphan process within `within_s` seconds; return the agents."""
        ended: set[str] = set()
        deadline = time.monotonic() + within_s
        # Repeated until a scan finds none, because a process may fork during a scan.
        while (found := self._orphans()) and (left_s := deadline - time.monotonic()) > 0:
            ended |= {process.agent_id for process in found}
            end(found, within_s=left_s)
        # Then the cgroups without a shim: a process without labels is still in its cgroup.
        ended |= cgroups.end_orphans(self._system, self.lives)
        return frozenset(ended | self._elsewhere.end_orphans() if self._elsewhere else ended)

    def end_all(self, *, within_s: float) -> tuple[frozenset[str], tuple[int, ...]]:
        """End the processes of every agent; return the agents, and the pids still alive."""
        agents: set[str] = set()
        deadline = time.monotonic() + within_s
        met = {process.mark for process in labelled_processes(self._system)}
        while (found := labelled_processes(self._system)) and time.monotonic() < deadline:
            agents |= {process.agent_id for process in found}
            end(_shims_if(met, found), within_s=max(deadline - time.monotonic(), _PAUSE_S))
        if self._elsewhere:
            agents |= self._elsewhere.end_all()
        return frozenset(agents), tuple(sorted(process.pid for process in found))

    def orphans(self) -> Mapping[str, tuple[int, ...]]:
        """Return the pids of the orphan processes, by agent."""
        found = defaultdict(list)
        for process in self._orphans():
            found[process.agent_id].append(process.pid)
        for agent_id, pids in (self._elsewhere.orphans() if self._elsewhere else {}).items():
            found[agent_id] += pids
        return {agent_id: tuple(sorted(pids)) for agent_id, pids in found.items()}

    def _orphans(self) -> tuple[LabelledProcess, ...]:
        """Return the processes that two scans find without a worker.

        A process that starts or ends during one scan may seem to be an orphan. So it must appear
        in both scans. The exception is an agent for which neither scan finds a process with a
        worker: then every process is an orphan, also one that forks and has a new pid each time.
        """
        first = labelled_processes(self._system)
        suspects = orphans(first)
        if not suspects:
            return ()
        time.sleep(_SECOND_LOOK_S)
        second = labelled_processes(self._system)
        left = orphans(second)
        held = {*first} - {*suspects}, {*second} - {*left}
        agents = {one.agent_id for one in suspects} - {
            one.agent_id for look in held for one in look
        }
        met = {one.mark for one in suspects}
        return _shims_if(met, (one for one in left if one.mark in met or one.agent_id in agents))

    def lives(self, process: str) -> bool:
        """Return whether the process `pid:start` is alive."""
        pid = process.partition(":")[0]
        return pid.isdecimal() and _lives(int(pid), process)


def labelled_processes(system: str) -> tuple[LabelledProcess, ...]:
    """Return every live process of this system's agents, without zombies."""
    wanted = SYSTEM_LABEL + system.encode()
    found: list[LabelledProcess] = []
    known: set[str] = set()
    for _ in range(_PASSES):
        # Reading hundreds takes time; a further pass finds the processes that started meanwhile.
        born = {name for name in os.listdir("/proc") if name.isdecimal()} - known  # noqa: PTH208 - as in `_read`
        if not born:
            break
        known |= born
        for name in born:
            # The process may end during the read, or belong to another user.
            with suppress(OSError):
                found += _labelled(int(name), wanted)
    return tuple(found)


def _labelled(pid: int, wanted: bytes) -> Iterator[LabelledProcess]:
    block = _read(pid, "environ").split(b"\0")
    if wanted not in block:
        return
    agent, owner = _entry(block, AGENT_LABEL), _entry(block, OWNER_LABEL)
    fields = _stat(pid)
    if agent and fields[0] not in ("Z", "X"):
        parent = int(fields[1])
        # `python -I -S _shim.py CONTROL STATUS DEADLINE OWNER …`
        shim, *arguments = _read(pid, "cmdline").split(b"\0")[3:] or (b"",)
        is_shim = shim == _SHIM and len(arguments) > _OWNER_ARGUMENT
        has_owner = is_shim and arguments[_OWNER_ARGUMENT] == process_label(parent).encode()
        yield LabelledProcess(pid, f"{pid}:{fields[19]}", parent, agent, is_shim, has_owner, owner)


def orphans(processes: Collection[LabelledProcess]) -> tuple[LabelledProcess, ...]:
    """Return the orphan processes among the given ones.

    A shim is an orphan if its parent is not the worker that started it. A program with an owner
    is an orphan if that worker is not its ancestor. Any other process is an orphan if no shim with
    a worker is its ancestor. A shim below a shim counts as a program, which it is about to execute.
    """
    by_pid = {process.pid: process for process in processes}

    def is_shim(pid: int) -> bool:
        return pid in by_pid and by_pid[pid].is_shim

    def is_held(process: LabelledProcess) -> bool:
        seen: set[int] = set()
        pid = process.pid
        while pid > 1 and pid not in seen:
            seen.add(pid)
            above = by_pid.get(pid)
            if above is not None and above.is_shim and not is_shim(above.parent):
                return above.has_owner
            if process.owner and process_label(pid) == process.owner:
                return True
            with suppress(OSError):
                pid = above.parent if above else int(_stat(pid)[1])
        return False

    return tuple(process for process in processes if not is_held(process))


def _shims_if(
    met: Collection[str], processes: Iterable[LabelledProcess]
) -> tuple[LabelledProcess, ...]:
    # A real shim is in both scans; any other process is killed without asking it to end.
    return tuple(
        process if process.mark in met else replace(process, is_shim=False) for process in processes
    )


def end(processes: Iterable[LabelledProcess], *, within_s: float) -> tuple[int, ...]:
    """End these processes and the trees below shims; return the pids that are still alive.

    A shim gets half of `within_s` seconds to end its tree, then it gets SIGKILL.
    """
    alive = {process.pid: process.mark for process in processes}
    shims = {process.pid for process in processes if process.is_shim}
    for pid in shims:
        # The shim ends its tree, because no other process is sure to find all of it.
        _signal(pid, signal.SIGCONT)
        _signal(pid, signal.SIGUSR1)
    for pid in alive.keys() - shims:
        # All are stopped first, so that none forks when another one ends.
        _signal(pid, signal.SIGSTOP)
    deadline = time.monotonic() + within_s
    while alive:
        is_late = time.monotonic() > deadline - within_s / 2
        for pid in alive:
            if pid not in shims or is_late:
                _signal(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)
        alive = {pid: mark for pid, mark in alive.items() if _lives(pid, mark)}
        if time.monotonic() > deadline:
            break
    return tuple(sorted(alive))


def _entry(block: list[bytes], mark: bytes) -> str:
    found = next((item for item in block if item.startswith(mark)), b"")
    return found.removeprefix(mark).decode(errors="replace")


def _lives(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return process_label(pid) == mark and _stat(pid)[0] not in ("Z", "X")
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 - hundreds of them each time
        return file.read()


def _stat(pid: int) -> list[str]:
    # After the name in parentheses, which may hold anything: state, parent, …, start (ticks).
    return _read(pid, "stat").rpartition(b")")[2].decode().split()
