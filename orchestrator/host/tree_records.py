"""Records of running process trees: a record that is left was not closed by its supervisor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.host.processes import process_label

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TreeRecords:
    """The records below the home of a host.

    Each supervisor (`_shim.py`) makes one at its start and removes it when it has seen its last
    descendant end. If the supervisor is killed, its record stays.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "trees"

    def begin(self, agent_id: str, attempt: int) -> str:
        """Return the beginning of the path of a new record; its folder exists."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(self._folder / f"{agent_id}.{attempt}")

    def supervisors(self) -> frozenset[int]:
        """Return the pids of the live supervisors on this host."""
        with suppress(FileNotFoundError):
            names = os.listdir(self._folder)  # noqa: PTH208 - names only
            return frozenset(filter(None, map(_live_supervisor, names)))
        return frozenset()

    def agents(self) -> frozenset[str]:
        """Return the agents with a tree that was not seen to end, after `is_proven` of each."""
        with suppress(FileNotFoundError):
            names = {name.partition(".")[0] for name in os.listdir(self._folder)}  # noqa: PTH208 - names only
            return frozenset(name for name in names if not self.is_proven(name))
        return frozenset()

    def is_proven(self, agent_id: str) -> bool:
        """Return whether every tree of the agent on this host was seen to end.

        A tree whose supervisor is gone was seen to end only if its cgroup or its PID namespace is
        empty, or if the host has booted since. The records of such trees are removed. A supervisor
        that is alive is no evidence against it, because labels find it.
        """
        return not list(self._unproven(agent_id))

    def _unproven(self, agent_id: str) -> Iterator[Path]:
        for record in self._folder.glob(f"{agent_id}.*"):
            if _live_supervisor(record.name):
                continue
            try:
                content = record.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            if not _has_ended(content):
                yield record
                continue
            # A record that a read-only disk keeps proves the same at the next look.
            with suppress(OSError):
                record.unlink()


def _live_supervisor(record: str) -> int:
    """Return the pid in the name of a record, if that process lives, else 0."""
    # `<agent>.<attempt>.<pid>:<start>`
    label = record.rpartition(".")[2]
    pid = label.partition(":")[0]
    if pid.isdecimal() and process_label(int(pid)) == label and not _is_zombie(int(pid)):
        return int(pid)
    return 0


def _has_ended(content: str) -> bool:
    """Return whether the kernel shows that no process of a recorded tree is left."""
    boot, cgroup, namespace = (*content.split("\n"), "", "", "")[:3]
    if boot and boot != _BOOT_ID.read_text(encoding="ascii").strip():
        return True
    if namespace:
        return _is_namespace_empty(namespace)
    return bool(cgroup) and _is_cgroup_empty(Path(cgroup))


def _is_cgroup_empty(cgroup: Path) -> bool:
    try:
        return "populated 0" in (cgroup / "cgroup.events").read_text(encoding="ascii")
    except FileNotFoundError:
        # Only an empty cgroup can be removed.
        return cgroup.parent.parent.exists()
    except OSError:
        return False


def _is_namespace_empty(namespace: str) -> bool:
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if os.readlink(process / "ns" / "pid") == namespace:  # noqa: PTH115 - no path
                return False
        except PermissionError:
            # Only a process with several ids is in a namespace below that of this process.
            with suppress(OSError):
                if _levels(process / "status") > _levels(Path("/proc/self/status")):
                    return False
        except OSError:
            continue
    return True


def _levels(status: Path) -> int:
    """Return in how many nested PID namespaces a process has an id, as far as /proc shows."""
    _, _, ids = status.read_text(encoding="utf-8", errors="replace").partition("\nNSpid:")
    return len(ids.partition("\n")[0].split())


def _is_zombie(pid: int) -> bool:
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")
    return True
