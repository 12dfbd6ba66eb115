"""The timer of the sweep: sweeps where the scheduler's messages do not arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.errors import OrchestratorError
from orchestrator.log import get_logger
from orchestrator.store import sweeps
from orchestrator.store.client import Store
from orchestrator.store.sweeps import SWEEP_EVERY_S

#: After this long without a sweep the timer sweeps itself.
_MISSED_AFTER_S = 2 * SWEEP_EVERY_S

log = get_logger("sweep_timer")


@dataclass(frozen=True)
class SweepTimer:
    """Sweeps if nobody else has swept lately.

    A full Valkey refuses the scheduler's message, and only a sweep frees memory. The scheduler
    can also be dead, or stand still because its host's clock was set back. This timer needs no
    message, and goes by a clock that nobody sets.
    """

    store: Store
    clock: Callable[[], datetime]
    #: Runs one sweep, and records it.
    sweep: Callable[[], object]

    def start(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Start a daemon thread that checks every `SWEEP_EVERY_S` seconds."""

        def keep_checking() -> None:
            while True:
                sleep(SWEEP_EVERY_S)
                try:
                    self.check()
                except OrchestratorError as error:
                    log.warning("not swept", reason=str(error))
                except Exception:  # the process edge: nothing else would restart the thread
                    log.exception("not swept")

        threading.Thread(target=keep_checking, daemon=True, name="sweep").start()

    def check(self) -> bool:
        """Sweep if the last sweep is too old; return whether it did.

        Raises:
            StoreUnreachable: Valkey does not answer.
            StoreRefused: Valkey refuses a step of the sweep.
        """
        age_s = sweeps.age_s(self.store.run(sweeps.last_ms()), self.clock())
        if age_s is not None and age_s < _MISSED_AFTER_S:
            return False
        log.info("the timer sweeps", reason="no sweep", age=age_s)
        self.sweep()
        return True
