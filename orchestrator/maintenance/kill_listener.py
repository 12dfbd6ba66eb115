"""The kill listener: ends the killed agents that this process holds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.store import kills

#: A read of the kill stream returns at least this often.
BLOCK_MS = 5000
#: After an error the listener waits this long before it reads again.
PAUSE_S = 1.0

log = get_logger("kill_listener")


@dataclass(frozen=True)
class KillListener:
    """Reads the kill stream on its own connection, from the last kill that it has read."""

    holder: AgentLeases

    def start(self) -> None:
        """Start a daemon thread that reads the kill stream."""
        threading.Thread(target=self._listen, daemon=True, name="kills").start()

    def _listen(self) -> None:
        last = ""
        while True:
            try:
                if not last:
                    # An agent's first heartbeat detects a kill before this instant.
                    last = self.holder.store.run(kills.last_kill())
                heard = self.holder.store.run(kills.await_kills(last, block_ms=BLOCK_MS))
                last = heard.last
                for agent_id in heard.agent_ids:
                    self.holder.revoke(agent_id)
                self.holder.confirmation.review()
                continue
            except OrchestratorError as error:
                log.warning("kills not read", reason=str(error))
            except Exception:  # the process edge: the error is logged, the listener continues
                log.exception("kills not read")
            time.sleep(PAUSE_S)
