"""A system ends with its signal, its terminal or its supervisord, and starts again."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from orchestrator.cli.local.instance import discover
from orchestrator.cli.output.exit_codes import Exit
from tests.integration.up.stand_in import PATIENCE_S, await_true


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_foreground_stops_everything_once(machine, foreground, number):
    """A terminal signals the whole group of processes: supervisord must not be in it."""
    os.killpg(foreground.pid, number)
    assert foreground.wait(PATIENCE_S) == 0
    assert not machine.processes()
    assert [note[0] for note in machine.notes()] == ["started", "ended"]
    assert [note[2] for note in machine.notes()] == ["+PONG", "+PONG"]
    assert "SIGINT" not in (machine.home / "log" / "supervisord.log").read_text()


def test_a_foreground_system_ends_with_its_killed_up(machine, foreground):
    foreground.kill()
    foreground.wait()
    await_true(lambda: not machine.processes())
    assert machine.notes()[-1][0] == "ended"
    assert machine.orch("down")[:2] == (0, "Stopped: nothing was left running.\n")
    assert not (machine.home / "run" / "system.json").exists()


def test_a_killed_supervisord_ends_the_foreground_with_a_line(machine, foreground):
    system = discover(machine.home)
    assert system is not None
    os.kill(system.pids["supervisor"], signal.SIGKILL)
    _, err = foreground.communicate(timeout=PATIENCE_S)
    assert foreground.returncode == Exit.UNREACHABLE
    assert err.startswith("orch: The process manager ended (-9)")
    assert not machine.processes()


def test_down_ends_a_system_in_the_foreground(machine, foreground):
    assert machine.orch("down")[0] == 0
    _, err = foreground.communicate(timeout=PATIENCE_S)
    assert (foreground.returncode, err) == (0, "orch: stopped by someone else\n")


def test_down_ends_the_orphans_of_a_killed_supervisord_and_nobody_else(machine, detached):
    with subprocess.Popen(["sleep", "60"], env=machine.env) as bystander:
        try:
            os.kill(detached["pids"]["supervisor"], signal.SIGKILL)
            await_true(lambda: len(machine.processes()) == 2)
            (machine.home / "run" / "supervisord.pid").write_text(str(bystander.pid))
            code, out, err = machine.orch("down")
            assert (code, out) == (0, "Stopped: keeper, valkey.\n")
            assert "had been killed" in err
            assert not machine.processes()
            assert machine.notes()[-1][::2] == ["ended", "+PONG"]
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert not list((machine.home / "run").glob("super*.[ps]*"))


def test_a_hangup_of_supervisord_ends_nothing(machine, detached):
    """It stopped every program for a new configuration, ended, and nothing ran any more."""
    before = set(machine.processes())
    os.kill(detached["pids"]["supervisor"], signal.SIGHUP)

    # It serves one request after another: this one after the signal.
    assert machine.orch("up", "--detach")[0] == Exit.FAILED
    assert machine.orch("ls")[0] == 0
    assert set(machine.processes()) == before


def test_agents_of_a_killed_supervisord_can_still_be_listed_and_killed(machine, detached):
    """Its Valkey, workers and agents run on: no command may say that nothing runs here."""
    assert "process manager" not in machine.orch("ls")[2]
    os.kill(detached["pids"]["supervisor"], signal.SIGKILL)
    await_true(lambda: len(machine.processes()) == 2)

    killed = machine.orch("kill-all", "--yes")
    listed = machine.orch("ls", "--json")
    assert (killed[0], killed[1]) == (0, "Kill all completed: 0 killed, 0 failed\n")
    assert "The process manager of this system was killed" in killed[2]
    assert (listed[0], listed[2]) == (0, "")
    assert f":{machine.valkey_port}" in machine.orch("env")[1]
    assert "fail  process manager" in machine.orch("doctor")[1]

    assert machine.orch("down")[0] == 0
    assert machine.orch("ls")[0] == Exit.UNREACHABLE


def test_up_ends_the_orphans_of_a_killed_supervisord_and_starts(machine, detached):
    os.kill(detached["pids"]["supervisor"], signal.SIGKILL)
    await_true(lambda: len(machine.processes()) == 2)
    orphans = set(machine.processes())
    code, _, err = machine.orch("up", "--detach")
    assert (code, "ending what a killed system left running: keeper, valkey" in err) == (0, True)
    assert len(machine.processes()) == 3
    assert not orphans & set(machine.processes())
    assert machine.orch("down")[0] == 0


def test_a_system_that_was_killed_whole_can_be_started_again(machine, detached):
    for process in machine.processes():
        process.kill()
    await_true(lambda: not machine.processes())
    assert discover(machine.home) is None
    assert machine.orch("up", "--detach")[0] == 0
    assert machine.orch("down")[0] == 0
