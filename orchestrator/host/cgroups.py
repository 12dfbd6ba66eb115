"""Control groups (v2) below this process's own, one for each program; the kernel ends a group."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from orchestrator.errors import BackendUnavailable

_PROBE_TIMEOUT_S = 10.0


def folder(system: str) -> Path:
    """Return the parent folder of the cgroups of this system's programs; it may not exist.

    Raises:
        BackendUnavailable: this host mounts no cgroup v2.
    """
    own = _read("/proc/self/cgroup").partition("0::/")[2].partition("\n")[0]
    for line in _read("/proc/self/mountinfo").splitlines():
        # ID, parent, device, root, mount point, options, …, "-", type, …
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split()[4], own, f"orchestrator-{system}")
    msg = "This host mounts no cgroup v2."
    raise BackendUnavailable(msg, action="Mount it, or boot with systemd.unified_cgroup_hierarchy.")


@cache
def delegated(system: str) -> Path:
    """Return `folder` after a test: a program is started in a new cgroup there, and ended.

    Raises:
        BackendUnavailable: the cgroup cannot be made, or its program does not end.
    """
    where = folder(system)
    probe = where / f"probe.{id(where)}"
    try:
        probe.mkdir(parents=True)
        try:
            with subprocess.Popen(
                (sys.executable, "-I", "-S", "-c", "input()"), stdin=subprocess.PIPE
            ) as program:
                try:
                    (probe / "cgroup.procs").write_text(str(program.pid), encoding="ascii")
                    (probe / "cgroup.kill").write_text("1", encoding="ascii")
                    program.wait(_PROBE_TIMEOUT_S)
                finally:
                    program.kill()
        finally:
            probe.rmdir()
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"No cgroup can be made and ended below {where.parent} ({error})."
        action = "Delegate a cgroup: start it with `systemd-run --user --scope -p Delegate=yes …`."
        raise BackendUnavailable(msg, action=action) from error
    return where


def end_orphans(system: str, lives: Callable[[str], bool]) -> frozenset[str]:
    """End the processes in cgroups whose shim is gone, and remove those cgroups.

    Return the agents whose cgroups still had processes. `lives` returns whether the process
    `pid:start` is alive.
    """
    ended = set()
    with suppress(OSError, BackendUnavailable):
        for left in folder(system).iterdir():
            # `<agent>.<attempt>.<pid>:<start>`
            agent_id, _, rest = left.name.partition(".")
            if left.is_dir() and ":" in rest and not lives(rest.partition(".")[2]):
                with suppress(OSError):
                    if "populated 1" in _read(str(left / "cgroup.events")):
                        ended.add(agent_id)
                    (left / "cgroup.kill").write_text("1", encoding="ascii")
                    # Inner groups first; a group with ending processes is removed at the next call.
                    for inner in sorted(left.rglob("*/"), reverse=True):
                        inner.rmdir()
                    left.rmdir()
    return frozenset(ended)


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
