"""The system of an ORCHESTRATOR_HOME: its lock, its discovery by commands, and its stop.

The home's `run/` folder contains `lock` (held by supervisord while it lives; its content is the
run's id) and `system.json`, with which other commands find the system. Every process of the
system carries the run's id in its environment, and only this id identifies it. So `orch down`
ends the processes of a killed supervisord, and never a process that only has an old pid.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from orchestrator.cli.output.error_report import AS_JSON
from orchestrator.cli.output.text import notify
from orchestrator.errors import (
    RecordMalformed,
    SettingsInvalid,
    SystemAlreadyRunning,
    SystemNotRunning,
)
from orchestrator.models import Record

if TYPE_CHECKING:
    import psutil

#: Not an ORCHESTRATOR_* name: those are settings, and unknown settings are refused.
RUN_MARK = "ORCH_RUN_ID"
SUPERVISOR = "supervisor"
#: Longer than the stop waits of all stages, after which supervisord itself sends SIGKILL.
STOP_WITHIN_S = 45.0
POLL_S = 0.05
#: What a person is told if nothing restarts a program that ends.
ORPHANED = "The process manager of this system was killed; its programs and agents still run."
START_ANEW = "`orch up --detach` starts the system anew, and its agents continue."
#: A socket's path has 103 bytes on macOS, 107 on Linux; supervisord first binds `<path>.<pid>`.
_SOCKET_PATH_BYTES = 95


class System(Record):
    """A running system; `pids` are those at its start, and a restarted program has a new one."""

    api: str
    valkey: str
    pids: dict[str, int]
    run_id: str


@dataclass(frozen=True)
class Stopped:
    """The names of the ended programs; orphans are programs without a supervisord."""

    names: tuple[str, ...]
    were_orphans: bool


@dataclass(frozen=True)
class _Member:
    """A process with the run's id, and the name that supervisord gave it."""

    process: psutil.Process
    name: str
    group: str


# ── finding ─────────────────────────────────────────────────────────────────────────────────


def discover(home: Path) -> System | None:
    """Return the system that runs from this home, or None.

    Raises:
        RecordMalformed: this version cannot read its file.
    """
    system = _recorded(home)
    env = _environment(system.pids[SUPERVISOR]) if system else {}
    return system if system and env.get(RUN_MARK) == system.run_id else None


def discover_orphaned(home: Path) -> System | None:
    """Return the system of this home whose supervisord was killed and whose programs still run.

    Its agents run on too, so that commands must still find its Valkey.

    Raises:
        RecordMalformed: this version cannot read its file.
    """
    system = _recorded(home)
    return system if system and _members(home) else None


def discover_any(home: Path) -> System | None:
    """Return the system of this home, and tell a person if its supervisord was killed.

    Raises:
        RecordMalformed: this version cannot read its file.
    """
    if system := discover(home):
        return system
    ctx = click.get_current_context(silent=True)
    if (system := discover_orphaned(home)) and not (ctx and ctx.meta.get(AS_JSON)):
        notify(f"{ORPHANED} {START_ANEW}")
    return system


def _recorded(home: Path) -> System | None:
    file = run_dir(home) / "system.json"
    try:
        system = System.model_validate_json(file.read_bytes())
        system.pids[SUPERVISOR]
    except FileNotFoundError:
        return None
    except (ValidationError, KeyError) as error:
        msg = f"{file}: not a system this version started."
        action = "End it with `orch down`, and start it again."
        raise RecordMalformed(msg, action=action) from error
    return system if system.run_id else None


def _environment(pid: int) -> dict[str, str]:
    """Return the environment of a process; empty if there is none, or it cannot be read."""
    try:
        # Each command looks here first, and psutil takes 15 ms to load.
        text = os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        if Path("/proc/self/environ").exists():
            return {}
        import psutil  # noqa: PLC0415 - as above

        try:
            return psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return {}
    pairs = (part.partition("=") for part in text.split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def publish(home: Path, system: System) -> None:
    """Write `system.json` for `discover`."""
    write_private(run_dir(home) / "system.json", system.model_dump_json(by_alias=True))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise


# ── claiming ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def claim(home: Path, run_id: str) -> Iterator[int]:
    """Create the home and take its lock; a supervisord that inherits the descriptor holds it on.

    Programs of a system whose supervisord is gone are ended first: nothing restarts them.

    Raises:
        SystemAlreadyRunning: another system runs from this home.
        SettingsInvalid: the home cannot be created or written to.
    """
    try:
        for folder in (home, run_dir(home), log_dir(home)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (run_dir(home) / "lock").open("a+")
    except OSError as error:
        raise _unusable(home, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            system = discover(home)
            where = f", its API is {system.api}" if system else " (it is starting or stopping)"
            msg = f"An orchestrator already runs from {home}{where}."
            raise SystemAlreadyRunning(msg) from error
        if orphans := _members(home):
            names = ", ".join(sorted({orphan.name for orphan in orphans}))
            notify(f"ending what a killed system left running: {names}")
            _end_orphans(orphans)
        _remove_files(home)
        try:
            lock.truncate(0)
            lock.write(run_id)
            lock.flush()
        except OSError as error:
            raise _unusable(home, error) from error
        yield lock.fileno()


def _unusable(home: Path, error: OSError) -> SettingsInvalid:
    return SettingsInvalid(f"ORCHESTRATOR_HOME: {home} cannot be used ({error.strerror}).")


# ── ending ──────────────────────────────────────────────────────────────────────────────────


def stop(home: Path) -> Stopped:
    """End the system of this home or its remaining processes; return when every process ended.

    Raises:
        SystemNotRunning: no process runs.
    """
    members = _members(home)
    if not members and not _files(home):
        msg = f"No orchestrator runs from {home}."
        raise SystemNotRunning(msg, action="Start one with `orch up`.")
    supervisors = [member for member in members if member.name == SUPERVISOR]
    if supervisors:
        # On SIGTERM supervisord stops stage by stage, and sends SIGKILL to remaining programs.
        _end(supervisors, members)
    _end_orphans(members)
    # supervisord may have restarted a program just before it ended.
    _kill(_members(home))
    _remove_files(home)
    return Stopped(tuple(sorted({member.name for member in members})), not supervisors)


def _end_orphans(members: Sequence[_Member]) -> None:
    for group in sorted({member.group for member in members}, reverse=True):
        orphans = [member for member in members if member.group == group]
        _end(orphans, orphans)


def _end(reported: Sequence[_Member], awaited: Sequence[_Member]) -> None:
    import psutil  # noqa: PLC0415 - see `_environment`

    for member in reported:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.process.terminate()
    _kill(_await_gone(awaited, STOP_WITHIN_S))


def _kill(members: Sequence[_Member]) -> None:
    import psutil  # noqa: PLC0415 - see `_environment`

    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.process.kill()
    _await_gone(members, STOP_WITHIN_S)


def _await_gone(members: Sequence[_Member], within_s: float) -> list[_Member]:
    deadline_s = time.monotonic() + within_s
    while left := [member for member in members if _lives(member.process)]:
        if time.monotonic() > deadline_s:
            break
        time.sleep(POLL_S)
    return left


def _lives(process: psutil.Process) -> bool:
    import psutil  # noqa: PLC0415 - see `_environment`

    try:
        # A zombie has ended: only its parent has not read its exit status.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _members(home: Path) -> list[_Member]:
    try:
        run_id = (run_dir(home) / "lock").read_text("utf-8")
    except FileNotFoundError:
        return []
    import psutil  # noqa: PLC0415 - see `_environment`

    found = (_member(process, run_id) for process in psutil.process_iter())
    return [member for member in found if member]


def _member(process: psutil.Process, run_id: str) -> _Member | None:
    env = _environment(process.pid)
    if not run_id or env.get(RUN_MARK) != run_id:
        return None
    name = env.get("SUPERVISOR_PROCESS_NAME", SUPERVISOR)
    return _Member(process, name, env.get("SUPERVISOR_GROUP_NAME", ""))


# ── files ───────────────────────────────────────────────────────────────────────────────────


def log_dir(home: Path) -> Path:
    """Return the folder of every program's output, `<name>.log`."""
    return home / "log"


def run_dir(home: Path) -> Path:
    """Return the folder of a running system's files: sockets, generated configuration."""
    return home / "run"


def make_socket_path(home: Path) -> Path:
    """Return a path for supervisord's socket; in a temporary folder if the home's is too long."""
    path = socket_path(home)
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        private = tempfile.mkdtemp(prefix="orch-")
        (run_dir(home) / "socket-dir").symlink_to(private)
        path = socket_path(home)
    return path


def socket_path(home: Path) -> Path:
    """Return the path of supervisord's socket."""
    link = run_dir(home) / "socket-dir"
    return (link.readlink() if link.is_symlink() else run_dir(home)) / "supervisord.sock"


def _files(home: Path) -> list[Path]:
    run = run_dir(home)
    names = ("system.json", "supervisord.pid", "socket-dir")
    paths = [socket_path(home), *(run / name for name in names)]
    return [path for path in paths if path.is_symlink() or path.exists()]


def _remove_files(home: Path) -> None:
    socket_dir = socket_path(home).parent
    for path in _files(home):
        # A read-only disk keeps them. They name processes that have ended, as after a power cut.
        with contextlib.suppress(OSError):
            path.unlink()
    if socket_dir != run_dir(home):
        with contextlib.suppress(OSError):  # a folder with other files remains
            socket_dir.rmdir()
