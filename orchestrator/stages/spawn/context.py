"""Where the programs of one attempt run, and all that they see of their surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent_output.reader import OutputReader
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.agent import AgentBackend, AgentJob
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.leases.lease import Lease
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace


@dataclass(frozen=True)
class RunContext:
    """What one attempt plays, and where."""

    programs: ProgramContext
    lease: Lease
    backend: AgentBackend
    job: AgentJob
    transcript: OutputReader
    #: Keeps what it has changed so far.
    checkpoint: Callable[[], None]
    #: The workspace is prepared already: an earlier start in it came to nothing.
    is_prepared: bool = False

    @property
    def agent(self) -> AgentState:
        """The agent as it was when this attempt began: earlier rounds' tokens, none of its own."""
        return self.programs.agent

    def facts(self) -> dict[str, object]:
        """Return what its state shall say of it by now."""
        transcript = self.transcript
        facts: dict[str, object] = {"usage": self.agent.usage.plus(transcript.spent).wire()}
        if transcript.session_id:
            facts["sessionId"] = transcript.session_id
        if transcript.result:
            facts["summary"] = transcript.summary
        if transcript.unknown:
            facts["unknownOutput"] = transcript.unknown
        return facts


@dataclass(frozen=True)
class ProgramContext:
    """One attempt's workspace, and how its programs are confined to it."""

    settings: Settings
    agent: AgentState
    workspace: Workspace
    base: Base
    #: The socket of this attempt's egress proxy, if it has one.
    egress: Path | None = None

    def program(
        self,
        argv: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        readable: tuple[Path, ...] = (),
    ) -> ProcessSpec:
        """Return how to start a program there; in the worktree if `cwd` does not say otherwise."""
        workspace = self.workspace
        return ProcessSpec(
            agent_id=self.agent.agent_id,
            argv=argv,
            env={
                **host_environment(self.settings),
                "HOME": str(workspace.home),
                "TMPDIR": str(workspace.tmp),
                "TERM": "dumb",
                **egress_environment(self.egress),
                **(env or {}),
            },
            cwd=cwd or workspace.worktree,
            stdin=stdin,
            attempt=self.agent.attempt,
            root=workspace.root,
            readable=(self.base.mirror / "objects", *readable),
            has_network=not self.settings.has_egress_proxy,
            egress=self.egress,
        )
