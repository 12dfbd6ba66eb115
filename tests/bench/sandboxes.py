"""What each sandbox takes: from the start to a first byte, and from a kill to gone."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.settings import load_settings
from orchestrator.wiring import host as wiring_host
from tests.bench.results import figure, save, sizes

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


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each level in turn."""
    given = sizes(__doc__, argv, rounds=15)
    figures = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "workspace"
        folder.mkdir()
        host = {"ORCHESTRATOR_HOME": home, "PATH": os.environ["PATH"]}
        for name, asked in LEVELS.items():
            sandbox = wiring_host.sandbox(load_settings({**host, **asked}))
            measured = [measure(sandbox, folder) for _ in range(given.rounds)]
            columns = zip(*measured, strict=True)
            steps = ("start to first byte", "kill to gone", "gone to nothing left")
            for step, column in zip(steps, columns, strict=True):
                figures.append(figure(f"{step}, {name}", "ms", *(s * 1000 for s in column)))
    save("sandboxes", figures)


if __name__ == "__main__":
    main()
