"""`orch up` and `orch down` with the real supervisord and Valkey; other programs are stand-ins.

Run as a program, this file is an `orch` whose `up` starts the stand-ins of a scenario.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from orchestrator.cli import LazyGroup
from orchestrator.cli.commands.up import bring_up
from orchestrator.cli.local.instance import discover
from orchestrator.cli.local.programs import Program, listeners, programs
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.settings import Settings, load_settings
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0

#: Notes its start and what Valkey said then, and the same on SIGTERM.
KEEPER = """
import os, pathlib, signal, socket, sys
home, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def note(what):
    with socket.create_connection(("127.0.0.1", port)) as valkey:
        valkey.sendall(b"PING\\r\\n")
        with (home / "notes").open("a") as notes:
            print(what, os.getpid(), valkey.recv(5).decode(), file=notes)
def end(*_):
    note("ended")
    sys.exit()
signal.signal(signal.SIGTERM, end)
note("started" + ("" if (home / "valkey-was-ready").exists() else " too early"))
while True:
    signal.pause()
"""

#: Ends once, after supervisord has taken it for running.
LATE = (
    "import pathlib, signal, sys, time; again = pathlib.Path(sys.argv[1]);"
    "once = again.with_name('once');"
    "(again.touch(), signal.pause()) if once.exists() else"
    " (once.touch(), time.sleep(1.5), sys.exit(3))"
)


# ── the `orch` under test ───────────────────────────────────────────────────────────────────


def stand_ins(settings: Settings, scenario: str) -> tuple[Program, ...]:
    valkey = programs(settings, flower=False)[0]
    checks = iter(range(1000))
    lacks: Callable[[], str | None] = valkey.lacks or (lambda: "a Valkey without a check")

    def lacks_for_a_while() -> str | None:
        if next(checks) < 8:
            return "its time"
        (settings.home / "valkey-was-ready").touch()
        return lacks()

    def has_noted() -> str | None:
        return None if (settings.home / "notes").exists() else "a note"

    argv = (sys.executable, os.environ["KEEPER"], str(settings.home), str(settings.valkey_port))
    parts = [replace(valkey, lacks=lacks_for_a_while), Program("keeper", argv, lacks=has_noted)]
    if scenario == "dies":
        parts.append(Program("dies", (sys.executable, "-c", "raise SystemExit(3)")))
    if scenario == "late":
        again = settings.home / "again"
        argv_late = (sys.executable, "-c", LATE, str(again))

        def has_been_started_again() -> str | None:
            await_true(again.exists)
            return None

        parts.append(Program("late", argv_late, lacks=has_been_started_again))
    if scenario == "never":
        parts.append(Program("never", argv, lacks=lambda: "its wits"))
    if scenario == "missing":
        parts.append(Program("missing", ("/nowhere/program",)))
    return tuple(parts)


class StandInGroup(LazyGroup):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return up if cmd_name == "up" else super().get_command(ctx, cmd_name)


@click.group(cls=StandInGroup)
@click.pass_context
def orch(ctx: click.Context) -> None:
    ctx.obj = load_settings()


@click.command()
@click.option("--detach", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
@click.option("--scenario", default="well")
@click.pass_obj
def up(settings: Settings, *, detach: bool, as_json: bool, scenario: str) -> None:
    bring_up(
        settings,
        stand_ins(settings, scenario),
        listeners(settings, flower=False),
        run_id=f"run of {settings.home}",
        is_detached=detach,
        as_json=as_json,
        within_s=3.0 if scenario == "never" else 60.0,
    )


# ── fixtures ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Machine:
    """A home and ports of its own, and an `orch` to use them."""

    home: Path
    api_port: int
    valkey_port: int
    keeper: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_PORT": str(self.api_port),
            "VALKEY_PORT": str(self.valkey_port),
            "KEEPER": str(self.keeper),
        }

    def popen(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.integration.test_up", *arguments],
            cwd=ROOT,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def orch(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        """Run to the end; returns exit code, standard output and error."""
        with self.popen(*arguments, **env) as ran:
            out, err = ran.communicate(timeout=PATIENCE_S * 3)
        return ran.returncode, out, err

    def notes(self) -> list[list[str]]:
        return [line.split() for line in (self.home / "notes").read_text().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Every process of this home's tree, by its environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                env = process.environ()
                if env.get("ORCHESTRATOR_HOME") == str(self.home) and "ORCH_RUN_ID" in env:
                    found.append(process)
        return found

    def is_free(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    keeper = tmp_path / "keeper.py"
    keeper.write_text(KEEPER)
    made = Machine(tmp_path / "home", free_port(), free_port(), keeper)
    yield made
    for process in made.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def detached(machine) -> dict[str, Any]:
    """What `orch up --detach --json` printed."""
    code, out, err = machine.orch("up", "--detach", "--json")
    assert (code, err) == (0, "")
    reported: dict[str, Any] = json.loads(out)
    return reported


@pytest.fixture
def foreground(machine) -> Iterator[subprocess.Popen[str]]:
    """An `orch up` that waits, everything ready."""
    with machine.popen("up") as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(3)]
        assert lines[0] == f"API     http://127.0.0.1:{machine.api_port}\n"
        try:
            yield running
        finally:
            # Else a test that failed would wait for it for ever.
            running.kill()


def await_true(fact: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


# ── up and down ─────────────────────────────────────────────────────────────────────────────


def test_a_detached_system_lives_on_until_down(machine, detached):
    """Valkey first and last; `up` has ended, all pids live; after `down` nothing is left."""
    assert detached["api"] == f"http://127.0.0.1:{machine.api_port}"
    assert detached["valkey"] == f"redis://127.0.0.1:{machine.valkey_port}/0"
    pids = detached["pids"]
    assert set(pids) == {"supervisor", "valkey", "keeper"}
    assert {process.pid for process in machine.processes()} == set(pids.values())
    system = discover(machine.home)
    assert system is not None
    assert system.pids == pids

    code, out, err = machine.orch("down", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"stopped": ["keeper", "supervisor", "valkey"]}
    assert not machine.processes()
    assert discover(machine.home) is None
    keeper = str(pids["keeper"])
    assert machine.notes() == [["started", keeper, "+PONG"], ["ended", keeper, "+PONG"]]

    code, out, err = machine.orch("down")
    assert (code, out) == (Exit.UNREACHABLE, "")
    assert err.startswith(f"orch: No orchestrator runs from {machine.home}.")


def test_what_stands_under_the_home_is_private(machine, detached):
    assert stat.S_IMODE(machine.home.stat().st_mode) == 0o700
    for name in ("system.json", "supervisord.conf", "valkey.conf"):
        assert stat.S_IMODE((machine.home / "run" / name).stat().st_mode) == 0o600
    machine.orch("down")


def test_a_password_protects_valkey_and_is_printed_nowhere(machine):
    password = 'pass "word\\ %d'
    code, out, _ = machine.orch("up", "--detach", "--json", VALKEY_PASSWORD=password)
    assert code == 0
    assert json.loads(out)["valkey"] == f"redis://127.0.0.1:{machine.valkey_port}/0"
    note = (machine.home / "notes").read_text()
    assert note.endswith("-NOAU\n")
    machine.orch("down")


def test_a_second_up_is_refused_and_names_the_first(machine, detached):
    code, out, err = machine.orch("up", "--detach")
    assert (code, out) == (1, "")
    assert f"already runs from {machine.home}, its API is {detached['api']}" in err
    machine.orch("down")


def test_a_crashed_program_is_started_again(machine, detached):
    log = machine.home / "log" / "supervisord.log"
    await_true(lambda: "success: keeper entered RUNNING" in log.read_text())
    os.kill(detached["pids"]["keeper"], signal.SIGKILL)
    await_true(lambda: len(machine.notes()) == 2)
    first, second = machine.notes()
    assert second[0] == "started"
    assert second[1] != first[1]
    machine.orch("down")
    assert not machine.processes()


@pytest.mark.parametrize("taken", ["api_port", "valkey_port"])
def test_a_port_in_use_is_one_line_and_nothing_is_started(machine, taken):
    port = getattr(machine, taken)
    with socket.create_server(("127.0.0.1", port)):
        code, out, err = machine.orch("up", "--detach")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert f"port {port} on 127.0.0.1 is in use" in err
    assert {"api_port": "ORCHESTRATOR_PORT", "valkey_port": "VALKEY_PORT"}[taken] in err
    assert not machine.processes()


def test_one_port_for_two_programs_is_refused(machine):
    code, _, err = machine.orch("up", "--detach", VALKEY_PORT=str(machine.api_port))
    assert code == 1
    assert "VALKEY_PORT" in err


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("dies", "dies ended while it started"),
        ("late", "late ended while it started"),
        ("never", "never is not ready in time: its wits"),
        ("missing", "missing ended while it started"),
    ],
)
def test_a_failed_start_names_program_and_log_and_leaves_nothing(machine, scenario, says):
    code, out, err = machine.orch("up", "--detach", "--scenario", scenario)
    assert (code, out) == (1, "")
    assert err.startswith(f"orch: {says}")
    assert f"{machine.home}/log/{scenario}.log" in err
    assert len(err.splitlines()) == 1
    assert not machine.processes()
    assert machine.is_free(machine.valkey_port)
    assert discover(machine.home) is None


def test_a_home_whose_path_is_too_long_for_a_socket_serves(machine, tmp_path):
    long = replace(machine, home=tmp_path / ("l" * 60) / ("m" * 60))
    assert long.orch("up", "--detach")[0] == 0
    link = long.home / "run" / "socket-dir"
    private = link.readlink()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert long.orch("down")[0] == 0
    assert not private.exists()
    assert not long.processes()


def test_a_home_with_odd_letters_serves(machine, tmp_path):
    odd = replace(machine, home=tmp_path / "50% of; 'my' \"home\"")
    code, _, err = odd.orch("up", "--detach")
    assert (code, err) == (0, "")
    assert odd.orch("down")[0] == 0


def test_a_home_that_cannot_stand_in_the_configuration_is_refused(machine, tmp_path):
    code, _, err = replace(machine, home=tmp_path / "no #1").orch("up", "--detach")
    assert code == 1
    assert err.startswith("orch: ORCHESTRATOR_HOME: ")


# ── in the foreground ───────────────────────────────────────────────────────────────────────


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


# ── after a killed supervisord ──────────────────────────────────────────────────────────────


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


if __name__ == "__main__":
    orch(prog_name="orch")
