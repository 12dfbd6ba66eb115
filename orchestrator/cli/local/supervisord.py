"""Starts programs under supervisord, stage by stage; a stage starts when the last is ready.

supervisord has its own session, so that Ctrl-C reaches only `orch up`. On Linux the kernel sends
it SIGTERM when a foreground `orch up` ends for any reason; elsewhere it continues, and `orch down`
ends it.
"""

from __future__ import annotations

import configparser
import contextlib
import ctypes
import http.client
import io
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from orchestrator.cli.local.instance import (
    POLL_S,
    RUN_MARK,
    SUPERVISOR,
    log_dir,
    make_socket_path,
    run_dir,
    socket_path,
    write_private,
)
from orchestrator.cli.local.programs import Program
from orchestrator.errors import SettingsInvalid, StartFailed

START_WITHIN_S = 300.0
_RPC_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1
#: What another supervisord says to its programs, and modes of Python in which ours do not run.
_NOT_PASSED_ON = ("SUPERVISOR_", "PYTHONWARNINGS", "PYTHONDEVMODE")
_MANAGER = "orchestrator.cli.local.process_manager"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._connection: tuple[Any, UnixConnection | None] = (None, None)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = self._connection[1] or UnixConnection(self._path, _RPC_TIMEOUT_S)
        # Stored under the attribute that the library closes.
        self._connection = host, connection
        return connection


@dataclass(frozen=True)
class Started:
    """The process of supervisord, which ends with its programs, and the programs' pids by name."""

    process: subprocess.Popen[bytes]
    pids: dict[str, int]


def start(
    home: Path,
    programs: Sequence[Program],
    *,
    run_id: str,
    lock: int,
    is_tied: bool,
    within_s: float = START_WITHIN_S,
    on_wait: Callable[[str], None] = lambda _name: None,
) -> Started:
    """Start the programs and return when all are ready; if `is_tied`, they end with this process.

    `on_wait` gets the name of a program that is not ready yet, again and again. The caller holds
    the claim. After a failed start the caller ends the processes with `stop`.

    Raises:
        StartFailed: a program ended, or was not ready in time.
        SettingsInvalid: supervisord's configuration cannot contain the home's path.
    """
    config = run_dir(home) / "supervisord.conf"
    write_private(config, _config(home, programs))
    process = _launch(home, config, run_id=run_id, lock=lock, is_tied=is_tied)
    deadline_s = time.monotonic() + within_s
    _await_socket(home, process, deadline_s)
    pids: dict[str, int] = {}
    server = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(socket_path(home)))
    with server as proxy:
        by_stage = sorted(programs, key=attrgetter("stage"))
        for stage, members in groupby(by_stage, key=attrgetter("stage")):
            _rpc(proxy, "startProcessGroup", _group(stage), False)
            _await_stage(home, proxy, tuple(members), pids, deadline_s, on_wait)
    return Started(process, {SUPERVISOR: process.pid, **pids})


def _launch(
    home: Path, config: Path, *, run_id: str, lock: int, is_tied: bool
) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    with (log_dir(home) / "supervisord-start.log").open("wb") as output:
        return subprocess.Popen(
            # -P: a folder `orchestrator` in the working directory must not replace this package.
            [sys.executable, "-P", "-m", _MANAGER, "-c", config],
            env=env | {RUN_MARK: run_id},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
            # One thread runs here, so a fork that runs Python is safe.
            preexec_fn=_end_with_parent() if is_tied else None,  # noqa: PLW1509 - as said
        )


def _end_with_parent() -> Any:
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the kernel call
            os.kill(os.getpid(), signal.SIGTERM)

    return ask_kernel


def _await_socket(home: Path, process: subprocess.Popen[bytes], deadline_s: float) -> None:
    while True:
        with contextlib.closing(UnixConnection(socket_path(home), _RPC_TIMEOUT_S)) as connection:
            try:
                connection.connect()
            except (FileNotFoundError, ConnectionRefusedError):
                pass
            else:
                return
        if process.poll() is not None or time.monotonic() > deadline_s:
            msg = f"supervisord did not start; its logs are {log_dir(home)}/supervisord*.log."
            raise StartFailed(msg)
        time.sleep(POLL_S)


def _await_stage(
    home: Path,
    proxy: xmlrpc.client.ServerProxy,
    stage: Sequence[Program],
    pids: dict[str, int],
    deadline_s: float,
    on_wait: Callable[[str], None],
) -> None:
    pids |= dict.fromkeys((program.name for program in stage), 0)
    while True:
        infos = {info["name"]: info for info in _rpc(proxy, "getAllProcessInfo")}
        for name, first_pid in pids.items():
            # Between two checks a program may have ended and been restarted.
            pids[name] = infos[name]["pid"]
            is_up = infos[name]["statename"] in {"STARTING", "RUNNING"}
            if not is_up or (first_pid and pids[name] != first_pid):
                raise _failure(home, name, "ended while it started")
        lacks = {program.name: _lack(program, infos[program.name]) for program in stage}
        lacking = [(name, lack) for name, lack in lacks.items() if lack]
        if not lacking:
            return
        if time.monotonic() > deadline_s:
            raise _failure(home, lacking[0][0], f"is not ready in time: {lacking[0][1]}")
        on_wait(lacking[0][0])
        time.sleep(POLL_S)


def _lack(program: Program, info: dict[str, Any]) -> str | None:
    if program.lacks:
        return program.lacks()
    return None if info["statename"] == "RUNNING" else "it has not stayed up for a second"


def _failure(home: Path, name: str, what: str) -> StartFailed:
    return StartFailed(f"{name} {what.rstrip('.')}; its log is {log_dir(home) / f'{name}.log'}.")


def _rpc(proxy: xmlrpc.client.ServerProxy, method: str, *arguments: Any) -> Any:
    try:
        return getattr(proxy.supervisor, method)(*arguments)
    except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
        msg = f"supervisord does not answer ({error})."
        raise StartFailed(msg) from error


def _group(stage: int) -> str:
    return f"stage-{stage}"


def _config(home: Path, programs: Sequence[Program]) -> str:
    logs, rotation = log_dir(home), {"maxbytes": "10MB", "backups": "3"}
    sections: dict[str, dict[str, object]] = {
        "supervisord": {
            "nodaemon": "true",
            "silent": "true",
            # Its cleanup of the temporary folder would delete the logs of every other supervisord.
            "nocleanup": "true",
            "minfds": _at_most(resource.RLIMIT_NOFILE, 1024),
            "minprocs": _at_most(resource.RLIMIT_NPROC, 200),
            "pidfile": run_dir(home) / "supervisord.pid",
            "logfile": logs / "supervisord.log",
            **{f"logfile_{name}": value for name, value in rotation.items()},
        },
        "unix_http_server": {"file": make_socket_path(home), "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for program in programs:
        sections[f"program:{program.name}"] = {
            "command": shlex.join(program.argv),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            # Never reached: the process manager keeps the count below `MAX_DELAY_S` + 5.
            "startretries": "20",
            "stopwaitsecs": program.stop_wait_s,
            "killasgroup": "true",
            "redirect_stderr": "true",
            # The only option that supervisord expands twice.
            "stdout_logfile": _escaped(str(logs / f"{program.name}.log")),
            **{f"stdout_logfile_{name}": value for name, value in rotation.items()},
        }
    for stage in sorted({program.stage for program in programs}):
        names = [program.name for program in programs if program.stage == stage]
        sections[f"group:{_group(stage)}"] = {"programs": ",".join(names), "priority": stage}
    parser = configparser.RawConfigParser()
    for name, options in sections.items():
        parser[name] = {option: _escaped(str(value)) for option, value in options.items()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _at_most(limit: int, number: int) -> int:
    """Return supervisord's own number, or what this host allows: with less it does not start."""
    hard = resource.getrlimit(limit)[1]
    return number if hard == resource.RLIM_INFINITY else min(number, hard)


def _escaped(value: str) -> str:
    if re.search(r"[\r\n]|\s[;#]", value):
        msg = f"ORCHESTRATOR_HOME: a path such as {value!r} cannot stand in supervisord's file."
        raise SettingsInvalid(msg)
    return value.replace("%", "%%")
