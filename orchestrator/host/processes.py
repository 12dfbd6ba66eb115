"""This host's processes of agents: found by marks in their environment, ended, seen to be gone."""

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

#: Both stand in the environment of every process of an agent.
AGENT_LABEL = b"ORCH_AGENT_ID="
SYSTEM_LABEL = b"ORCH_SYSTEM="
#: In that of programs of ours which a worker runs for an agent without a shim: git.
OWNER_LABEL = b"ORCH_OWNER="
_SHIM = os.fsencode(Path(__file__).parent.parent / "sandboxes" / "_shim.py")
_OWNER_ARGUMENT = 3
_PAUSE_S = 0.01
#: A look takes time, in which processes are born and end: only who is met again is a stray.
_SECOND_LOOK_S = 0.1
#: A look that still meets new processes after so many passes has an end all the same.
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
    #: Of a shim: whether the process that started it is still its parent.
    has_owner: bool = False
    #: Of a program of ours: the worker's process that must stand above it, as `pid:start`.
    owner: str = ""


def system_label(home: Path) -> str:
    """Return what tells this system's processes from those of another on the same host."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def process_label(pid: int) -> str:
    """Return `pid:start`, which no other process of this boot ever has; empty if it is gone."""
    with suppress(OSError):
        return f"{pid}:{_stat(pid)[19]}"
    return ""


@runtime_checkable
class RunsElsewhere(Protocol):
    """A sandbox whose programs are no descendants of their worker: only it can find what is left.

    Each method raises SandboxUnavailable where it cannot look.
    """

    def end_orphans(self) -> frozenset[str]:
        """End and remove what no live worker holds; returns the agents of what still ran."""
        ...

    def orphans(self) -> Mapping[str, tuple[int, ...]]:
        """Return pids, on this host, of what runs and no live worker holds, by agent."""
        ...

    def end_all(self) -> frozenset[str]:
        """End and remove everything of this system, held or not; returns the agents."""
        ...


class Host:
    """What runs on this machine for the agents of one system, whoever started it.

    With `elsewhere` its methods raise SandboxUnavailable where that cannot look.
    """

    def __init__(self, home: Path, elsewhere: RunsElsewhere | None = None) -> None:
        self._system = system_label(home)
        self._elsewhere = elsewhere

    def end_orphans(self, *, within_s: float) -> frozenset[str]:
        """End every process no live worker answers for; returns their agents."""
        ended: set[str] = set()
        deadline = time.monotonic() + within_s
        # Until a look finds none: what forks in time gets away from some of them.
        while (found := self._orphans()) and (left_s := deadline - time.monotonic()) > 0:
            ended |= {process.agent_id for process in found}
            end(found, within_s=left_s)
        # After that, whose shims are gone by now: who emptied its environment is in its cgroup yet.
        ended |= cgroups.end_orphans(self._system, self.lives)
        return frozenset(ended | self._elsewhere.end_orphans() if self._elsewhere else ended)

    def end_all(self, *, within_s: float) -> tuple[frozenset[str], tuple[int, ...]]:
        """End the processes of every agent; returns the agents, and the pids still there."""
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
        """Return the processes no live worker answers for, by agent."""
        found = defaultdict(list)
        for process in self._orphans():
            found[process.agent_id].append(process.pid)
        for agent_id, pids in (self._elsewhere.orphans() if self._elsewhere else {}).items():
            found[agent_id] += pids
        return {agent_id: tuple(sorted(pids)) for agent_id, pids in found.items()}

    def _orphans(self) -> tuple[LabelledProcess, ...]:
        """Return whom two looks find without a worker.

        One is not enough: what is born or ends meanwhile may seem to be a stray. It has to be met
        again, unless neither look finds a worker for anything of its agent. Then nothing of it can
        be at work, and what is another process each time, because it forks, is a stray too.
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
    """Return every live process of this system's agents; zombies are dead."""
    wanted = SYSTEM_LABEL + system.encode()
    found: list[LabelledProcess] = []
    known: set[str] = set()
    for _ in range(_PASSES):
        # To read hundreds takes a while; who was born in it, of one that is gone by now, as well.
        born = {name for name in os.listdir("/proc") if name.isdecimal()} - known  # noqa: PTH208 - as in `_read`
        if not born:
            break
        known |= born
        for name in born:
            # It may end while it is looked at, or be another user's.
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
    """Return those no live worker answers for.

    A shim is one when its parent is not the worker that started it any more; a program of ours when
    that worker does not stand above it; anything else when no shim with a worker does. What looks
    like a shim below a shim is the program it is about to become.
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
    # A shim stays the process it is: what only looks like one need not be asked to end.
    return tuple(
        process if process.mark in met else replace(process, is_shim=False) for process in processes
    )


def end(processes: Iterable[LabelledProcess], *, within_s: float) -> tuple[int, ...]:
    """End these processes, and the trees below shims; returns the pids that are still there."""
    alive = {process.pid: process.mark for process in processes}
    shims = {process.pid for process in processes if process.is_shim}
    for pid in shims:
        # It ends what is below it, which nobody else can be sure to find.
        _signal(pid, signal.SIGCONT)
        _signal(pid, signal.SIGUSR1)
    for pid in alive.keys() - shims:
        # All of them first: no one forks when it sees another die.
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
