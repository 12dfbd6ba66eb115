"""`orchestrator.host.agent_sockets`: who holds the client's end of a connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.host import agent_sockets
from orchestrator.host.agent_sockets import is_of_agent
from orchestrator.host.processes import process_label
from orchestrator.host.tree_records import TreeRecords

#: Connects to the port, tells its own, and ends with its standard input.
CLIENT = """
import socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def supervised_by(home: Path, pid: int) -> None:
    """Leave the record of a supervisor with this pid."""
    record = TreeRecords(home).begin("a-1", 1)
    Path(f"{record}.{process_label(pid)}").touch()


def asked(home: Path, listener: socket.socket, client_port: int) -> bool:
    server_port = listener.getsockname()[1]
    return is_of_agent(home, client_port=client_port, server_port=server_port)


@pytest.fixture
def client(listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CLIENT, str(listener.getsockname()[1])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        yield started
        started.kill()


def port_of(client: subprocess.Popen[str]) -> int:
    assert client.stdout is not None
    return int(client.stdout.readline())


def test_without_a_supervisor_nobody_is_an_agent(tmp_path, listener, client):
    assert not asked(tmp_path, listener, port_of(client))


def test_a_process_below_a_supervisor_is_an_agent_and_another_is_not(tmp_path, listener, client):
    other = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    try:
        port = port_of(client)
        supervised_by(tmp_path, other.pid)
        assert not asked(tmp_path, listener, port)
        supervised_by(tmp_path, client.pid)
        assert asked(tmp_path, listener, port)
    finally:
        other.communicate()


def test_a_connection_that_no_process_holds_is_taken_for_an_agents(tmp_path, listener, client):
    """An agent that does not wait for its answer could not be told from others."""
    supervised_by(tmp_path, client.pid)
    with socket.create_connection(listener.getsockname()) as one:
        port = one.getsockname()[1]
        assert not asked(tmp_path, listener, port)
    assert asked(tmp_path, listener, port)


def test_an_agent_that_cannot_be_examined_is_suspected_before_others(
    tmp_path, listener, client, monkeypatch: pytest.MonkeyPatch
):
    port = port_of(client)
    supervised_by(tmp_path, client.pid)
    read = agent_sockets._held
    closed = {client.pid, os.getppid()}
    monkeypatch.setattr(agent_sockets, "_held", lambda pid: None if pid in closed else read(pid))
    assert asked(tmp_path, listener, port)
    with socket.create_connection(listener.getsockname()) as own:
        assert not asked(tmp_path, listener, own.getsockname()[1])
