"""What a reply of the embedded Valkey promises is on its disk before, however slow that is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import redis

from orchestrator.cli.local.programs import (
    programs,
    valkey_config,
    valkey_config_file,
    valkey_data_dir,
)
from orchestrator.settings import Settings, load_settings
from tests.conftest import free_port
from tests.processes import eventually

#: With a second between two of its own syncs, Valkey would answer many writes before one.
SLOW_S = 1.0
WRITERS = 20
#: Writes of each that are answered before it dies, in the middle of another sync.
ROUNDS = 1
STRACE = shutil.which("strace") or ""


@contextmanager
def valkey(settings: Settings, *prefix: str) -> Iterator[redis.Redis]:
    """Run the Valkey of this system, and end it as a power cut would: at once."""
    (program,) = (part for part in programs(settings, flower=False) if part.name == "valkey")
    with subprocess.Popen([*prefix, *program.argv], stdout=subprocess.DEVNULL) as started:
        client = redis.Redis(port=settings.valkey_port, socket_timeout=60)

        def answers() -> bool:
            with suppress(redis.RedisError):
                return bool(client.ping())
            return False

        try:
            eventually(answers)
            yield client
        finally:
            # Below strace, which lets it go on should strace itself be killed.
            for process in psutil.Process(started.pid).children(recursive=True):
                process.send_signal(signal.SIGKILL)
            started.kill()


def test_a_write_that_was_answered_outlives_a_sigkill_on_a_slow_disk(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "PATH": os.environ["PATH"],
            "ORCHESTRATOR_HOME": str(tmp_path / "home"),
            "VALKEY_PORT": str(free_port()),
        },
        dotenv=tmp_path / "no.env",
    )
    valkey_data_dir(settings).mkdir(parents=True)
    valkey_config_file(settings).parent.mkdir(parents=True)
    valkey_config_file(settings).write_text(valkey_config(settings), encoding="utf-8")
    delay = f"fdatasync,fsync:delay_enter={round(SLOW_S * 1e6)}"
    slowly = (STRACE, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e")
    answered: list[str] = []

    def write(client: redis.Redis, name: int) -> None:
        with suppress(redis.RedisError):
            for count in range(10**6):
                client.set(f"k{name}.{count}", 1)
                answered.append(f"k{name}.{count}")

    with valkey(settings, *slowly, f"inject={delay}") as client:
        threads = [threading.Thread(target=write, args=(client, n)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(answered) >= WRITERS * ROUNDS)
    for thread in threads:
        thread.join()
    with valkey(settings) as client:
        lost = [key for key in answered if not client.exists(key)]
    assert (len(answered) >= WRITERS * ROUNDS, lost) == (True, [])
