"""Whether a connection to a port of this host comes from a process of an agent."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.host.tree_records import TreeRecords

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_SOCKET = "socket:["


def is_of_agent(home: Path, *, client_port: int, server_port: int) -> bool:
    """Return whether an agent, or no process any more, holds the client's end of a connection.

    Both ends are on this host. The processes of agents are the descendants of their supervisors,
    which no process can leave while its supervisor lives. A connection that no examined process
    holds is taken for one of an agent's process that cannot be examined, then for one of another.
    """
    supervisors = TreeRecords(home).supervisors()
    if not supervisors:
        return False
    sockets = _sockets(client_port=client_port, server_port=server_port)
    if not sockets or 0 in sockets:
        return True
    held = {pid: _held(pid) for pid in _descendants(supervisors)}
    if any(sockets.keys() & (inodes or ()) for inodes in held.values()):
        return True
    left, uids = set(sockets), set(sockets.values())
    has_unknown = False
    for pid in _processes():
        if pid in held:
            continue
        inodes = _held(pid)
        if inodes is None:
            has_unknown |= _uid(pid) in uids
        else:
            left -= inodes
            if not left:
                return False
    # An agent can forbid to examine it, or pass the socket from process to process.
    return None in held.values() or not has_unknown


def _sockets(*, client_port: int, server_port: int) -> dict[int, int]:
    """Return the owner's uid by inode, which is 0 if no process holds the socket any more."""
    found: dict[int, int] = {}
    ends = (f"{client_port:04X}", f"{server_port:04X}")
    for table in _TABLES:
        with suppress(FileNotFoundError):
            for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                words = row.split()
                if (words[1].rpartition(":")[2], words[2].rpartition(":")[2]) == ends:
                    found[int(words[9])] = int(words[7])
    return found


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - names only


def _descendants(pids: Collection[int]) -> Iterator[int]:
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        yield pid
        # Threads have children too.
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names only
                with suppress(OSError):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_bytes()
                    waiting += map(int, children.split())


def _held(pid: int) -> set[int] | None:
    """Return the inodes of a process's sockets; None if they may not be read."""
    found: set[int] = set()
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    target = os.readlink(entry.path)  # noqa: PTH115 - no path
                    if target.startswith(_SOCKET):
                        found.add(int(target[len(_SOCKET) : -1]))
    except PermissionError:
        return None
    except OSError:
        # It has ended.
        return found
    return found


def _uid(pid: int) -> int | None:
    with suppress(OSError):
        return Path(f"/proc/{pid}").stat().st_uid
    return None
