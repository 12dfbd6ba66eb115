"""`orch up` starts all programs or none, and `orch down` ends them."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.cli.local.instance import discover
from orchestrator.cli.output.exit_codes import Exit
from tests.integration.up.conftest import ROOT
from tests.integration.up.stand_in import PATIENCE_S, await_true


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


def test_a_host_with_few_descriptors_starts_it_too(machine):
    """The process manager asked for 1,024, and did not start with less."""
    program = (sys.executable, "-m", "tests.integration.up.stand_in", "up", "--detach")
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -n 200 && exec "$@"', "-", *program],
        cwd=ROOT,
        env=machine.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE_S,
    )
    assert (ran.returncode, ran.stderr) == (Exit.OK, "")
    assert machine.orch("down")[0] == Exit.OK


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


def test_modes_of_python_in_the_environment_reach_no_program(machine):
    assert machine.orch("up", "--detach", PYTHONWARNINGS="error")[0] == 0
    assert machine.orch("down")[0] == 0


def test_a_home_that_cannot_stand_in_the_configuration_is_refused(machine, tmp_path):
    code, _, err = replace(machine, home=tmp_path / "no #1").orch("up", "--detach")
    assert code == 1
    assert err.startswith("orch: ORCHESTRATOR_HOME: ")
