"""Runs Celery's commands on our application, wherever it is started: `python -P -m workers …`.

Celery imports modules from the current folder first, which may be a checkout with its own
`workers` or `celeryconfig`. Therefore this module imports ours before Celery starts.
"""

import sys

import celeryconfig  # noqa: F401
import workers.broker
import workers.signals
import workers.sweeping
import workers.tasks
from workers.app import app

workers.broker.install()

# Flower with our pages; a host without Flower does not need to install it.
if "flower" in sys.argv:
    import workers.flower

    workers.flower.install()

app.start(sys.argv[1:])
