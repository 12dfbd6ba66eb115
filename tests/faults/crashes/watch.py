"""Looks at processes and queues from outside."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import redis

from orchestrator.messages import MOST_URGENT, QUEUES, queue_key
from orchestrator.stages.spawn.capture import WHEN_STOPPED
from tests.processes import MARK, stat_of

#: The capture of what an attempt left may run beside the next one: it reads its own workspace only.
_SALVAGE = WHEN_STOPPED.encode()


class Watch:
    """Looks at the processes from outside, all the time: who runs something for which agent."""

    def __init__(self, agent_ids: Collection[str]) -> None:
        self._agent_ids = frozenset(agent_ids)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.checks = 0
        #: What the most supervisors of one agent that were alive at once ran, by agent.
        self.most: dict[str, list[str]] = {}

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            self.checks += 1
            for agent_id, programs in live_trees().items():
                if agent_id in self._agent_ids:
                    self.most[agent_id] = max(self.most.get(agent_id, []), programs, key=len)


def live_trees() -> dict[str, list[str]]:
    """Return the programs that run for each agent: one shim stands above each."""
    shims: dict[int, tuple[str, int, str]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            argv = (entry / "cmdline").read_bytes()
            if b"/sandboxes/_shim.py\0" not in argv or _SALVAGE in argv:
                continue
            marks = (entry / "environ").read_bytes().split(b"\0")
            agent = next((mark for mark in marks if mark.startswith(MARK)), b"")
            pid, fields = int(entry.name), stat_of(int(entry.name))
            if agent and fields and fields[0] not in ("Z", "X"):
                program = argv.partition(b"/sandboxes/_shim.py\0")[2].replace(b"\0", b" ")
                shims[pid] = (
                    agent.removeprefix(MARK).decode(),
                    int(fields[1]),
                    program.decode("utf-8", "replace"),
                )
    found: dict[str, list[str]] = {}
    for agent_id, parent, program in shims.values():
        # What looks like a shim below a shim is the program it is about to become.
        if parent not in shims:
            found.setdefault(agent_id, []).append(program)
    return found


def queued(client: redis.Redis, *agent_ids: str) -> list[str]:
    """Return which of these agents have a message in a queue."""
    names = [
        queue_key(queue, priority) for queue in QUEUES for priority in range(1, MOST_URGENT + 1)
    ]
    waiting = b"".join(message for name in names for message in client.lrange(name, 0, -1))
    return [agent_id for agent_id in agent_ids if agent_id.encode() in waiting]


def is_alive(pid: int) -> bool:
    """Return whether there is such a process; a zombie is dead."""
    return stat_of(pid)[:1] not in ([], ["Z"], ["X"])
