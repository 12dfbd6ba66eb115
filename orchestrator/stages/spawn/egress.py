"""The egress session of one attempt: its proxy, its log lines, and its counts in the state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orchestrator.agent_output.reader import OutputReader
from orchestrator.egress.proxies import EgressProxies
from orchestrator.egress.proxy import Proxy
from orchestrator.errors import TransitionRefused
from orchestrator.interfaces.agent import AgentJob
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.settings.prices import price_table
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.stages.spawn.model_requests import ModelRequests

_SOURCE = "egress"

log = get_logger("egress")


@dataclass(frozen=True)
class EgressSession:
    """The proxy of one attempt; without one, its programs have the network of the host."""

    proxy: Proxy | None
    transcript: OutputReader
    #: The requests to the model that the proxy admits.
    requests: ModelRequests

    def job_with_model(self, job: AgentJob) -> AgentJob:
        """Return the job with the model address and key of this proxy."""
        return replace(job, model=self.proxy.model) if self.proxy else job

    def leading_from(self, programs: ProgramContext) -> ProgramContext:
        """Return a context whose programs use this proxy."""
        return replace(programs, egress=self.proxy.socket) if self.proxy else programs

    @property
    def is_busy(self) -> bool:
        """Whether the proxy is still reading a response of the model.

        The proxy reads each response to its end, even if the agent has disconnected.
        """
        return self.proxy is not None and self.proxy.is_busy

    def check(self) -> None:
        """Write the requests that were refused since the last check to the agent's log."""
        for line in self.proxy.drain_refusals() if self.proxy else ():
            self.transcript.record(line, source=_SOURCE)


@contextmanager
def egress_session(
    egress: EgressProxies, holder: AgentLeases, programs: ProgramContext, transcript: OutputReader
) -> Iterator[EgressSession]:
    """Open an egress session; at its close write the counts to the agent's state and log.

    Raises:
        EgressUnavailable: the proxy cannot be opened.
    """
    root, hosts, see = programs.workspace.root, programs.settings.egress_hosts, transcript.see
    prices = price_table(programs.settings.prices)
    requests = ModelRequests(holder, programs.agent, holder.new_id(), prices)
    with egress.opened(root, hosts=hosts, with_model=True, on_usage=see, limits=requests) as proxy:
        out = EgressSession(proxy, transcript, requests)
        # With hosts of its own an agent may reach a model whose responses nobody reads.
        if proxy is not None and not hosts:
            transcript.most_spent = proxy.meter.most_spent
        try:
            yield out
        finally:
            if proxy is not None:
                out.check()
                _report(proxy, holder, programs, transcript)


def _report(
    proxy: Proxy, holder: AgentLeases, programs: ProgramContext, transcript: OutputReader
) -> None:
    counts, agent = proxy.counts, programs.agent
    if counts.refused:
        line = f"{counts.allowed} requests went out, {counts.refused} were refused"
        transcript.record(line, source=_SOURCE)
    reported, seen = transcript.meter.total, proxy.meter.total
    if proxy.meter.differs(reported):
        numbers = f"told {reported.total_tokens}, seen {seen.total_tokens}"
        transcript.record(f"tokens the agent told and its proxy saw: {numbers}", source=_SOURCE)
        log.warning(
            "tokens differ",
            agentId=agent.agent_id,
            attempt=agent.attempt,
            reported=reported.total_tokens,
            seen=seen.total_tokens,
        )
    try:
        holder.update(agent, {"egress": counts.wire()})
    except TransitionRefused as refusal:
        # Another process has ended the agent; the next check of the lease raises.
        log.info("counts dropped", agentId=agent.agent_id, reason=str(refusal))
