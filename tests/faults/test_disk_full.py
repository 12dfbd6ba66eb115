"""The disk of the home full for some seconds: with room again the system heals by itself."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.disks import small_disk
from tests.faults.conftest import OPEN, Fleet
from tests.integration.conftest import running
from tests.processes import eventually

SIZE_MIB = 400
#: Starts of Valkey on the full disk: the first at once, the others after a second more each.
STARTS = 2
BLOCK = bytes(1 << 20)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred MiB."""
    with small_disk(tmp_path / "small", f"{SIZE_MIB}m") as where:
        yield where


@pytest.fixture
def fleet(small: Path) -> Iterator[Fleet]:
    """A system whose home is on the small file system."""
    low = {"ORCHESTRATOR_DISK_LOW_WATER": "1MiB"}
    home = small / "home"
    with running(home, ORCHESTRATOR_AGENT="scripted", **OPEN, **low) as system:
        yield Fleet(system)


def fill(folder: Path) -> Path:
    """Fill the file system of the folder to its last byte."""
    file = folder / "ballast"
    with file.open("ab", buffering=0) as ballast:
        for size in (len(BLOCK), 4096, 1):
            try:
                while ballast.write(BLOCK[:size]):
                    pass
            except OSError:
                continue
    return file


def is_ready(fleet: Fleet) -> bool:
    try:
        return fleet.call("GET", "/health/ready")[0] == 200
    except OSError:
        return False


def manager(fleet: Fleet) -> psutil.Process:
    """Return the process manager of the system."""
    file = fleet.system.home / "run" / "supervisord.pid"
    return psutil.Process(int(file.read_text()))


def valkey_pid(fleet: Fleet) -> int:
    """Return the Valkey that answers now; 0 if none does."""
    try:
        with fleet.valkey() as client:
            return int(client.info("server")["process_id"])
    except redis.RedisError:
        return 0


def valkeys(supervisor: psutil.Process) -> set[int]:
    """Return the pids of the Valkey that this process manager runs, one or none."""
    found = set()
    for child in supervisor.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.environ().get("SUPERVISOR_PROCESS_NAME") == "valkey":
                found.add(child.pid)
    return found


def test_a_full_disk_with_room_again_needs_no_command(
    fleet: Fleet, small: Path, remote: Path
) -> None:
    before, first = manager(fleet), valkey_pid(fleet)
    others = [child for child in before.children() if child.pid != first]
    ballast = fill(small)
    # The scheduler's next message is the write that Valkey cannot store. It ends at each start.
    seen: set[int] = {first}
    eventually(lambda: seen.update(valkeys(before)) or len(seen) > STARTS)
    # Other programs end too, and their ends and starts are what supervisord wants to log.
    for child in others[:2]:
        child.send_signal(signal.SIGKILL)
    psutil.wait_procs(others[:2], timeout=30)
    eventually(lambda: len(before.children()) >= len(others))
    os.truncate(ballast, 0)

    eventually(lambda: is_ready(fleet))
    assert before.is_running()
    agent_id = fleet.spawn(remote, {"write": {"path": "calc2.py", "content": "x = 1\n"}})
    assert fleet.await_phase(agent_id, "completed", "cleaned")["status"] == "completed"
