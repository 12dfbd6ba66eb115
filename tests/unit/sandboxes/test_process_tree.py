"""The worker's side of a program: what it takes for an end, and what for the proof of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable, DiskFull, SandboxLost
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.host.tree_records import TreeRecords
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import ProcessSandbox, ProcessTree
from tests.disks import fill, small_disk
from tests.processes import eventually

SANDBOX = ProcessSandbox(60, "0" * 16)
#: The shim has reported the start by then.
WHEN_TOLD = "until [ -e go ]; do sleep 0.01; done"


def spec(folder: Path, *argv: str) -> ProcessSpec:
    return ProcessSpec("a-1", argv, {"PATH": os.environ["PATH"]}, folder)


def read_to_end(process: ProcessTree) -> bytes:
    data = b""
    while process.exit_code is None:
        data += b"".join(chunk.data for chunk in process.read(20))
    return data


@pytest.mark.parametrize(("argv", "is_proven"), [("true", True), ("absent", True), ("kill", False)])
def test_an_end_is_proven_by_the_report_of_the_shim_alone(tmp_path, argv, is_proven):
    scope = CancelScope()
    with working_in(scope):
        if argv == "absent":
            with (
                pytest.raises(BackendUnavailable, match="No such file"),
                SANDBOX.start(spec(tmp_path, "no-such-program")),
            ):
                pass
        else:
            script = {"true": "true", "kill": f"{WHEN_TOLD}; kill -KILL $PPID; sleep 99"}[argv]
            with SANDBOX.start(spec(tmp_path, "sh", "-c", script)) as process:
                (tmp_path / "go").touch()
                read_to_end(process)
                assert process.has_ended_itself is is_proven
                assert (process.ended_at_s is not None) is is_proven
                assert process.exit_code == (0 if is_proven else -signal.SIGKILL)
    assert scope.has_proof is is_proven


def test_a_program_whose_record_finds_no_space_has_met_a_full_disk(tmp_path):
    """No fault of the program: the agent waits for space, and does not fail."""
    with small_disk(tmp_path / "small", "1M") as disk:
        sandbox = ProcessSandbox(60, "0" * 16, records=TreeRecords(disk / "trees"))
        (disk / "trees").mkdir()
        fill(disk)
        with pytest.raises(DiskFull), sandbox.start(spec(tmp_path, "true")):
            pass


def test_the_killed_are_named_and_a_kill_of_what_has_ended_reaches_no_other(tmp_path, monkeypatch):
    """Its pid may belong to another process by then."""
    groups: list[int] = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda pid, number: groups.append(pid) or real(pid, number))
    scope = CancelScope()
    script = f"{WHEN_TOLD}; echo $$; kill -KILL $PPID; exec sleep 99"
    with working_in(scope), SANDBOX.start(spec(tmp_path, "sh", "-c", script)) as process:
        (tmp_path / "go").touch()
        program = int(read_to_end(process))
        assert groups == [program]
        process.kill()
    assert groups == [program]
    assert scope.ended_pids == ()
    with (
        working_in(scope),
        SANDBOX.start(spec(tmp_path, "sh", "-c", "echo $$; exec sleep 99")) as p,
    ):
        program = int(p.read(20)[0].data)
        p.kill()
    assert scope.ended_pids == (program,)


def test_a_pipe_full_of_heartbeats_stops_no_program_and_no_kill(tmp_path):
    with SANDBOX.start(spec(tmp_path, "sleep", "99")) as process:
        process._shim.send_signal(signal.SIGSTOP)
        eventually(lambda: process._control.write(b"." * 4096) is None)
        eventually(lambda: process._control.write(b".") is None)
        process.heartbeat()
        process.terminate()
        assert not process._control.closed
        process._order(b"k")
        assert process._control.closed
        process._order(b"k")
        process.kill()
        assert process.exit_code == -signal.SIGKILL


def test_a_program_that_was_asked_to_end_says_how(tmp_path):
    script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    with SANDBOX.start(spec(tmp_path, "sh", "-c", script)) as process:
        assert process.read(20)[0].data == b"ready\n"
        assert process.cpu_s() >= 0
        process.terminate()
        read_to_end(process)
        assert (process.exit_code, process.killed_pids) == (4, ())


def test_the_end_for_want_of_heartbeats_is_not_the_programs(tmp_path):
    sandbox = ProcessSandbox(0.5, "0" * 16)
    with (
        sandbox.start(spec(tmp_path, "sleep", "99")) as process,
        sandbox._heartbeat._lock,
        pytest.raises(SandboxLost, match="stopped or stalled"),
    ):
        read_to_end(process)
    assert process.exit_code == -signal.SIGKILL


def test_output_before_the_end_is_read_before_the_end_is_told(tmp_path):
    with SANDBOX.start(spec(tmp_path, "sh", "-c", "echo a; echo b >&2")) as process:
        process._shim.wait()
        said = {chunk.source: chunk.data for _ in range(3) for chunk in process.read(20)}
        assert said == {"stdout": b"a\n", "stderr": b"b\n"}
        read_to_end(process)
        assert process.exit_code == 0
