"""Runs Celery's commands on our application, wherever it is started: `python -P -m workers …`.

Celery looks for modules in the current folder first, and that may be a checkout with a `workers` or
a `celeryconfig` of its own: everything of ours is imported before it can look.
"""

import sys

import celeryconfig  # noqa: F401
import workers.broker
import workers.signals
import workers.tasks
from workers.app import app

workers.broker.install()

# With our pages, however it is configured; whoever runs no Flower need not have it.
if "flower" in sys.argv:
    import workers.flower

    workers.flower.install()

app.start(sys.argv[1:])
