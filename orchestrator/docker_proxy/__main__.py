"""Runs the Docker socket proxy: `python -m orchestrator.docker_proxy SOCKET`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from orchestrator.docker_proxy.server import Filter
from orchestrator.errors import OrchestratorError
from orchestrator.log import configure_logging
from orchestrator.settings import load_settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = load_settings()
        configure_logging(secrets=settings.secrets)
        asyncio.run(Filter(settings, settings.docker_socket).serve(Path(sys.argv[1])))
    except (OrchestratorError, OSError) as error:
        sys.stderr.write(f"orchestrator.docker_proxy: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
