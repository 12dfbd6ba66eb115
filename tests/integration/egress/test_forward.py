"""The forwarder: a port inside, a unix socket outside, and a program that is nothing but itself."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.sandboxes import _port_forward, process
from tests.processes import eventually, lives, stat_of

FORWARD = Path(process.__file__).with_name("_port_forward.py")
#: A sandbox's Python may be older than ours, and knows no site-packages.
PYTHONS = [sys.executable, "/usr/bin/python3"]


class Outside:
    """Who listens on the socket: answers each connection with what it was sent, at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(200)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        with client:
            said = b"".join(iter(lambda: client.recv(65536), b""))
            # A program that was killed hears no answer.
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(said)

    def close(self) -> None:
        # Again without effect.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def outside(tmp_path):
    made = Outside(tmp_path / "s")
    yield made
    made.close()


@pytest.fixture
def start(outside, unused_port):
    """Start a program behind the forwarder."""
    started = []

    def begin(*argv, python=sys.executable, port=unused_port, **options):
        running = subprocess.Popen(
            [python, "-I", "-S", str(FORWARD), str(outside.path), str(port), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            **options,
        )
        started.append(running)
        return running

    yield begin
    for running in started:
        running.kill()
        running.communicate()


def exchange(port: int, said: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as client:
        sender = threading.Thread(target=lambda: (client.sendall(said), client.shutdown(1)))
        sender.start()
        heard = b"".join(iter(lambda: client.recv(65536), b""))
        sender.join()
        return heard


def test_what_it_hands_inside_never_waits_for_an_acknowledgement(outside):
    """Its clients' connections have Nagle's algorithm off, whatever the listener has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarder = _port_forward.Forwarder(listener, str(outside.path))
        with socket.create_connection(listener.getsockname()):
            forwarder._accept()
            ends = [end.connection for end in forwarder._ends.values()]
            inside = [one for one in ends if one.family == socket.AF_INET]
            assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in inside] == [1]
            for one in ends:
                one.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_program_keeps_its_pid_signals_environment_and_exit_code(start, python):
    reported = "env; echo pid=$$; grep SigIgn /proc/self/status; exit 7"
    running = start("sh", "-c", reported, python=python, env={"PATH": "/usr/bin:/bin", "A": "b"})
    said, _ = running.communicate()
    assert running.returncode == 7
    lines = said.decode().splitlines()
    assert f"pid={running.pid}" in lines
    own = ["grep", "SigIgn", "/proc/self/status"]
    ignored = subprocess.run(own, capture_output=True, check=True)
    assert ignored.stdout.decode().strip() in lines, "as if it had been started without"
    # What `sh` adds itself is PWD; nothing of Python's.
    assert {line.partition("=")[0] for line in lines[:3]} == {"A", "PATH", "PWD"}
    assert lines[3].startswith("pid=")


def test_many_connections_at_once_arrive_whole_and_half_closed(start, unused_port):
    """More than fits in any buffer goes one way, then the other."""
    start("sleep", "60")
    eventually(lambda: _answers(unused_port))
    said = [bytes([number]) * (number * 20_000 + 1) for number in range(60)] + [b"x" * 5_000_000]
    heard: dict[int, bytes] = {}
    threads = [
        threading.Thread(
            target=lambda n=n, data=data: heard.update({n: exchange(unused_port, data)})
        )
        for n, data in enumerate(said)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [heard[number] for number in range(len(said))] == said


def _answers(port: int) -> bool:
    try:
        return exchange(port, b"?") == b"?"
    except OSError:
        return False


def test_it_ends_with_its_program_and_not_by_the_group_s_signals(start, unused_port):
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    running = start("sh", "-c", script, start_new_session=True)
    eventually(lambda: _answers(unused_port))
    assert running.stdout.readline() == b"ready\n"
    [forwarder] = [pid for pid in children(running.pid) if b"_port_forward.py" in _argv(pid)]
    born = stat_of(forwarder)[19]
    os.killpg(running.pid, signal.SIGTERM)
    assert running.stdout.readline() == b"asked\n"
    assert _answers(unused_port)
    running.kill()
    eventually(lambda: not lives(forwarder, born))


def _argv(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_it_holds_nothing_of_the_program_s_output(start):
    """Who reads hears the end when the program closes it, though the forwarder still runs."""
    running = start("sh", "-c", "exec >&- 2>&-; sleep 60")
    assert running.stdout.read() == b""
    assert running.stderr.read() == b""
    assert running.poll() is None


def test_an_idle_forwarder_with_dead_connections_does_not_spin(start, outside, unused_port):
    running = start("sleep", "60")
    eventually(lambda: _answers(unused_port))
    [forwarder] = children(running.pid)
    client = socket.create_connection(("127.0.0.1", unused_port))
    client.sendall(b"x")
    outside.close()
    # Nobody is there for a new one; the old one is still open at both ends.
    with socket.create_connection(("127.0.0.1", unused_port)) as late:
        assert late.recv(1) == b""
    client.close()
    eventually(lambda: _is_asleep(forwarder))


def test_who_has_said_all_and_left_waits_without_spinning_for_a_slow_receiver(
    tmp_path, start, outside, unused_port
):
    """The receiver ends its own half first, and then takes its time."""
    outside.close()
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        running = start("sleep", "60")
        said = os.urandom(350_000)
        dialled = eventually(lambda: _dialled(unused_port))
        slow, _ = listener.accept()
        with slow, dialled:
            slow.shutdown(socket.SHUT_WR)
            dialled.sendall(said)
            dialled.shutdown(socket.SHUT_WR)
            assert dialled.recv(1) == b""
            [forwarder] = children(running.pid)
            eventually(lambda: _is_asleep(forwarder) and _unread(dialled) == 0)
            eventually(lambda: _is_asleep(forwarder))
            assert b"".join(iter(lambda: slow.recv(65536), b"")) == said


def _dialled(port: int) -> socket.socket | None:
    with suppress(OSError):
        return socket.create_connection(("127.0.0.1", port))
    return None


def _unread(connected: socket.socket) -> int:
    """How many bytes of what was sent its peer has not acknowledged (SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)


def _is_asleep(pid: int) -> bool:
    return stat_of(pid)[0] == "S"


@pytest.mark.parametrize(("program", "code"), [("/does/not/exist", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_start_ends_as_from_a_shell(start, program, code):
    running = start(program)
    _, said = running.communicate()
    assert running.returncode == code
    assert said.decode().startswith(f"{program}: ")


def test_a_port_that_is_taken_is_told(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = start("true", port=port)
        _, said = running.communicate()
    assert running.returncode == 125
    assert said == f"127.0.0.1:{port}: Address already in use\n".encode()
