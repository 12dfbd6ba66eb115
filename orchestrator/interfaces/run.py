"""The run of one command to its end in a sandbox, for gates, hooks and the capture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.interfaces.sandbox import Chunk, ProcessSpec, Sandbox


@dataclass(frozen=True)
class Completed:
    """The exit code and output of a command; `truncated` if output over the limit was dropped."""

    #: A negative number is the signal that ended the command.
    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    truncated: bool
    duration_ms: int


#: The longest wait for output, so that `check` is called often.
TICK_S = 0.2


def run_to_end(
    sandbox: Sandbox,
    spec: ProcessSpec,
    *,
    timeout_s: float,
    output_limit_bytes: int,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Completed:
    """Run a command until its whole process tree has ended; kill the tree after `timeout_s`.

    The first `output_limit_bytes` of stdout and of stderr are returned, further output is dropped.
    `check` is called every `TICK_S` seconds. If it raises, the tree is killed and the error is
    raised here.

    Raises:
        BackendUnavailable: the program does not exist or may not be run.
        WorkspaceLost: `spec.cwd` does not exist.
    """
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    truncated = timed_out = False

    def keep(chunks: Iterable[Chunk]) -> bool:
        dropped = False
        for chunk in chunks:
            buffer = kept[chunk.source]
            room = output_limit_bytes - len(buffer)
            buffer += chunk.data[:room]
            dropped |= len(chunk.data) > room
        return dropped

    started = clock()
    with sandbox.start(spec) as process:
        while process.exit_code is None:
            left_s = started + timeout_s - clock()
            if left_s <= 0:
                timed_out = True
                process.kill()
            truncated |= keep(process.read(min(max(left_s, 0), TICK_S)))
            check()
        exit_code = process.exit_code
    return Completed(
        exit_code=exit_code,
        stdout=bytes(kept["stdout"]),
        stderr=bytes(kept["stderr"]),
        timed_out=timed_out,
        truncated=truncated,
        duration_ms=round((clock() - started) * 1000),
    )
