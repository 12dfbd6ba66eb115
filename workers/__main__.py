"""Runs Celery's commands on our application, wherever it is started: `python -P -m workers …`.

Celery imports modules from the current folder first, which may be a checkout with its own
`workers` or `celeryconfig`. Therefore this module imports ours before Celery starts.

Celery's own program loads all of its commands and those of Flower: 35 MiB and a second of
processor time in each process. Workers and scheduler load their own command alone, and the
scheduler no stage: it only sends messages.
"""

from __future__ import annotations

import sys
from importlib import import_module

import celeryconfig  # noqa: F401
import workers.logs  # noqa: F401 - it registers itself
from orchestrator.store import redis_library  # noqa: F401 - kombu finds the library loaded
from workers.app import app

#: The commands that `orch` starts, and what each needs of this package.
_NEEDS: dict[str, tuple[str, ...]] = {
    "worker": (
        *("workers.signals", "workers.tasks", "workers.broker", "workers.sweeping"),
        "workers.revokes",
    ),
    "beat": (),
}


def main(arguments: list[str]) -> None:
    """Run a command of Celery."""
    name = arguments[0] if arguments else ""
    for module in _NEEDS.get(name, _NEEDS["worker"]):
        import_module(module)
    if "workers.broker" in sys.modules:
        sys.modules["workers.broker"].install()
    # Flower with our pages; a host without Flower does not need to install it.
    if "flower" in arguments:
        import_module("workers.flower").install()
    if name not in _NEEDS:
        app.start(arguments)
        return
    if not _NEEDS[name]:
        # They are those of a worker.
        app.conf.imports = ()
    context = import_module("celery.bin.base").CLIContext(
        app=app, no_color=False, workdir=None, quiet=False
    )
    command = getattr(import_module(f"celery.bin.{name}"), name)
    command.main(args=arguments[1:], prog_name=name, obj=context, standalone_mode=False)


main(sys.argv[1:])
