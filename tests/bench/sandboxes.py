"""What each sandbox takes: from the start to a first byte, and from a kill to gone."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.settings import load_settings
from orchestrator.wiring import host as wiring_host

ROUNDS = 15
#: Level → the settings that ask for it.
LEVELS: Mapping[str, Mapping[str, str]] = {
    **{name: {"ORCHESTRATOR_PROCESS_LEVEL": name} for name in ("bubblewrap", "cgroup", "shim")},
    "docker": {"SANDBOX_ENABLED": "true"},
}


def measure(sandbox: Sandbox, folder: Path) -> tuple[float, float, float]:
    """Return the seconds to the first byte, from kill to gone, and until nothing is left."""
    argv = ("sh", "-c", "echo ready; sleep 1000 & sleep 1000")
    env = {"PATH": os.environ["PATH"]}
    spec = ProcessSpec(agent_id="bench", argv=argv, env=env, cwd=folder, root=folder)
    began = time.monotonic()
    with ExitStack() as stack:
        process = stack.enter_context(sandbox.start(spec))
        while not process.read(60):
            pass
        started = time.monotonic()
        process.kill()
        killed = time.monotonic()
    return started - began, killed - started, time.monotonic() - killed


def main() -> None:
    """Print the medians, in milliseconds."""
    print(
        f"{'sandbox':<12}{'to the first byte':>20}{'kill to gone':>16}{'to nothing left':>18}  ms"
    )
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "workspace"
        folder.mkdir()
        host = {"ORCHESTRATOR_HOME": home, "PATH": os.environ["PATH"]}
        for name, asked in LEVELS.items():
            sandbox = wiring_host.sandbox(load_settings({**host, **asked}))
            measured = [measure(sandbox, folder) for _ in range(ROUNDS)]
            columns = zip(*measured, strict=True)
            start, kill, leave = (statistics.median(column) * 1000 for column in columns)
            print(f"{name:<12}{start:>20.1f}{kill:>16.1f}{leave:>18.1f}")


if __name__ == "__main__":
    main()
