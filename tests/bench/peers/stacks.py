"""The services that are measured: how each starts, and where it keeps what it accepted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

import redis

from orchestrator.messages import LEAST_URGENT, MOST_URGENT, SPAWN_QUEUE, queue_key
from orchestrator.store import keys
from tests.bench.results import ROOT
from tests.conftest import free_port

BUILD = ROOT / "build/peers"
HERE = Path(__file__).parent
OURS = "ours"
FASTIFY = "NestJS on Fastify, BullMQ"
EXPRESS = "NestJS on Express, BullMQ"
CELERY = "FastAPI, Celery"
_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 10.0


@dataclass(frozen=True)
class Stack:
    """One running service: its port, and its own database in the shared Valkey."""

    name: str
    port: int
    valkey: redis.Redis
    #: The lists of messages that wait for a worker.
    queues: Sequence[str]

    def registered(self) -> int:
        """Return how many accepted requests stand in Valkey: queued, and as agents if it has any.

        Raises:
            AssertionError: there are not as many messages as agents.
        """
        queued = sum(int(self.valkey.llen(queue)) for queue in self.queues)
        if self.name == OURS:
            agents = int(self.valkey.zcard(keys.AGENTS))
            if agents != queued:
                msg = f"{agents} agents are registered, but {queued} messages wait."
                raise AssertionError(msg)
        return queued


@contextlib.contextmanager
def serving(valkey_port: int, folder: Path) -> Iterator[tuple[Stack, ...]]:
    """Start all services that are installed, each on its own database, and stop them."""
    with contextlib.ExitStack() as running:
        stacks = []
        for database, (name, argv, env, queues) in enumerate(_services(valkey_port, folder)):
            port = free_port()
            running.enter_context(_process(argv, {**env, "PORT": str(port)}, port, name, folder))
            url = f"redis://127.0.0.1:{valkey_port}/{database}"
            client = running.enter_context(redis.Redis.from_url(url))
            stacks.append(Stack(name, port, client, queues))
        yield tuple(stacks)


_Service = tuple[str, list[str], Mapping[str, str], Sequence[str]]


def _services(valkey_port: int, folder: Path) -> Iterator[_Service]:
    url = f"redis://127.0.0.1:{valkey_port}"
    start = "import os; os.environ['ORCHESTRATOR_PORT'] = os.environ.pop('PORT');"
    start += "from orchestrator.api.__main__ import main; raise SystemExit(main())"
    yield (
        OURS,
        [sys.executable, "-c", start],
        {
            "VALKEY_URL": f"{url}/0",
            "ORCHESTRATOR_HOME": str(folder / "home"),
            "ORCHESTRATOR_AGENT": "scripted",
            "BUDGET_DAILY_TOKENS": "1000000M",
        },
        [queue_key(SPAWN_QUEUE, urgency) for urgency in range(LEAST_URGENT, MOST_URGENT + 1)],
    )
    for database, (name, adapter) in enumerate(((FASTIFY, "fastify"), (EXPRESS, "express")), 1):
        env = {"ADAPTER": adapter, "VALKEY_PORT": str(valkey_port), "VALKEY_DB": str(database)}
        yield name, ["node", str(BUILD / "nest_app.mjs")], env, ["bull:spawn:wait"]
    # `--workers 1`, the default, as every other service here is one process.
    yield (
        CELERY,
        [
            "sh",
            "-c",
            f'exec {BUILD}/venv/bin/uvicorn celery_app:app --port "$PORT" --no-access-log',
        ],
        {"VALKEY_URL": f"{url}/3", "PYTHONPATH": str(HERE)},
        ["spawn"],
    )


@contextlib.contextmanager
def _process(
    argv: Sequence[str], env: Mapping[str, str], port: int, name: str, folder: Path
) -> Iterator[None]:
    log = folder / f"{port}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            argv, env={"PATH": os.environ["PATH"], **env}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _START_WITHIN_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    msg = f"{name} does not start: {log.read_text()[-2000:]}"
                    raise RuntimeError(msg)
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    """Return whether the service answers at all: with 404 for what it does not have."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except HTTPError as error:
        return error.code == HTTPStatus.NOT_FOUND
    except OSError:
        return False
