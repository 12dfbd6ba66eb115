"""An agent's way out while its program runs: opened, told of in its log, counted in its state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orchestrator.egress.proxy import Proxy
from orchestrator.egress.service import Egress
from orchestrator.errors import TransitionRefused
from orchestrator.lifecycle.holder import Holder
from orchestrator.log import get_logger
from orchestrator.models import Usage
from orchestrator.ports import AgentJob, UsageReport
from orchestrator.surroundings import Surroundings
from orchestrator.transcript import Transcript

_SOURCE = "egress"

log = get_logger("egress")


@dataclass(frozen=True)
class WayOut:
    """The proxy of one attempt; without one, its programs have the network of the host."""

    proxy: Proxy | None
    transcript: Transcript

    def told(self, job: AgentJob) -> AgentJob:
        """Return the job of an agent that reaches its model this way."""
        return replace(job, model=self.proxy.model) if self.proxy else job

    def leading_from(self, there: Surroundings) -> Surroundings:
        """Return surroundings whose programs find the way out."""
        return replace(there, egress=self.proxy.socket) if self.proxy else there

    @property
    def is_busy(self) -> bool:
        """Whether answers of the model are under way, heard by the agent or not."""
        return self.proxy is not None and self.proxy.is_busy

    def look(self) -> None:
        """Put what was refused since the last look in the agent's log."""
        for line in self.proxy.take_refusals() if self.proxy else ():
            self.transcript.note(line, source=_SOURCE)


@contextmanager
def way_out(
    egress: Egress, holder: Holder, there: Surroundings, transcript: Transcript
) -> Iterator[WayOut]:
    """Open an agent's way out; in the end its state and log say what went there.

    Raises:
        EgressUnavailable: it cannot be opened.
    """
    root, hosts = there.workspace.root, there.settings.egress_hosts

    def see(message_id: str, usage: Usage) -> None:
        transcript.see(UsageReport(message_id, usage))

    with egress.opened(root, hosts=hosts, with_model=True, on_usage=see) as proxy:
        out = WayOut(proxy, transcript)
        try:
            yield out
        finally:
            if proxy is not None:
                out.look()
                _tell(proxy, holder, there, transcript)


def _tell(proxy: Proxy, holder: Holder, there: Surroundings, transcript: Transcript) -> None:
    counts, agent = proxy.counts, there.agent
    if counts.refused:
        line = f"{counts.allowed} requests went out, {counts.refused} were refused"
        transcript.note(line, source=_SOURCE)
    told, seen = transcript.meter.total, proxy.meter.total
    if proxy.meter.differs(told):
        numbers = f"told {told.total_tokens}, seen {seen.total_tokens}"
        transcript.note(f"tokens the agent told and its proxy saw: {numbers}", source=_SOURCE)
        log.warning(
            "tokens differ",
            agentId=agent.agent_id,
            attempt=agent.attempt,
            told=told.total_tokens,
            seen=seen.total_tokens,
        )
    try:
        holder.update(agent, {"egress": counts.wire()})
    except TransitionRefused as refusal:
        # Ended by another meanwhile: the lease tells.
        log.info("counts dropped", agentId=agent.agent_id, reason=str(refusal))
