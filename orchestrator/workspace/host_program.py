"""Runs one program of the host to its end: own session, deadline, group kill, no terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.host.cancel_scope import current, ended_by

#: SIGTERM lets git remove its lock files and half-written packs; SIGKILL follows after this time.
GRACE_S = 2.0


@dataclass(frozen=True)
class Ended:
    """The end of a program and its output; a negative `exit_code` is the signal."""

    exit_code: int
    stdout: bytes
    stderr: str


def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    stdin: bytes = b"",
    keep_fds: Sequence[int] = (),
) -> Ended:
    """Run a program in `/`; `keep_fds` stay open in it (a lock that must outlive this process).

    Raises:
        TimeoutError: it did not end in time; its process group has been killed.
        OSError: it cannot be started.
    """
    cancel_scope = current()
    with subprocess.Popen(
        argv,
        # The process labels let the host cleaner find the program after its worker was killed.
        env={**env, **cancel_scope.labels} if cancel_scope else env,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=keep_fds,
    ) as process:
        try:
            with ended_by(lambda: _kill_group(process)):
                stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end_group(process)
            msg = f"{argv[0]} did not end within {timeout_s:g} s"
            raise TimeoutError(msg) from error
        except BaseException:
            _end_group(process)
            raise
    return Ended(process.returncode, stdout, stderr.decode(errors="replace"))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)
