"""Listens for kills and ends the agents that this process holds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError
from orchestrator.leases.holder import AgentLeases
from orchestrator.log import get_logger
from orchestrator.store import kills

#: A read of the kill stream returns at least this often.
BLOCK_MS = 5000
#: After an error the listener waits this long before it reads again.
PAUSE_S = 1.0

log = get_logger("kill_listener")


@dataclass(frozen=True)
class KillListener:
    """Reads the kill stream on a connection of its own, from where it last was."""

    holder: AgentLeases

    def start(self) -> None:
        """Listen from now on, in a thread that lives as long as the process."""
        threading.Thread(target=self._listen, daemon=True, name="kills").start()

    def _listen(self) -> None:
        last = ""
        while True:
            try:
                if not last:
                    # What was killed before is known by its first heartbeat.
                    last = self.holder.store.run(kills.last_kill())
                heard = self.holder.store.run(kills.await_kills(last, block_ms=BLOCK_MS))
                last = heard.last
                for agent_id in heard.agent_ids:
                    self.holder.revoke(agent_id)
                self.holder.confirmation.review()
                continue
            except OrchestratorError as error:
                log.warning("kills not heard", reason=str(error))
            except Exception:  # the process edge: logged, and it listens on
                log.exception("kills not heard")
            time.sleep(PAUSE_S)
