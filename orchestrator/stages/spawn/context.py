"""The run context of one attempt: workspace, environment and confinement of its programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent_output.reader import OutputReader
from orchestrator.environments.products import overlays_in
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.agent import AgentBackend, AgentJob
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.leases.lease import Lease
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace


@dataclass(frozen=True)
class RunContext:
    """One attempt's program, its job, and the workspace in which it runs."""

    programs: ProgramContext
    lease: Lease
    backend: AgentBackend
    job: AgentJob
    transcript: OutputReader
    #: Saves the present change and session of the agent.
    checkpoint: Callable[[], None]
    #: Whether an earlier start in this workspace has already run the first hooks.
    is_prepared: bool = False

    @property
    def agent(self) -> AgentState:
        """The agent at the start of this attempt; its usage has no tokens of this attempt."""
        return self.programs.agent

    def facts(self) -> dict[str, object]:
        """Return the fields of the agent's state that follow from its output so far."""
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
    """One attempt's workspace, and the confinement of its programs."""

    settings: Settings
    agent: AgentState
    workspace: Workspace
    base: Base
    #: The socket of this attempt's egress proxy, if it has one.
    egress: Path | None = None
    #: The repository's environment, if the programs use it.
    environment: Environment | None = None

    def program(
        self,
        argv: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        readable: tuple[Path, ...] = (),
        with_overlays: bool = True,
    ) -> ProcessSpec:
        """Return the specification of a program in this workspace; `cwd` defaults to the worktree.

        `env` is added to the environment of the attempt. `readable` names further paths that the
        program may read. Programs that run at the same time must not both have overlays.
        """
        workspace, environment = self.workspace, self.environment
        given = environment.variables_in(workspace.worktree) if environment else {}
        return ProcessSpec(
            agent_id=self.agent.agent_id,
            argv=argv,
            env={
                **host_environment(self.settings),
                "HOME": str(workspace.home),
                "TMPDIR": str(workspace.tmp),
                "TERM": "dumb",
                **given,
                **egress_environment(self.egress),
                **(env or {}),
            },
            cwd=cwd or workspace.worktree,
            stdin=stdin,
            attempt=self.agent.attempt,
            root=workspace.root,
            readable=(
                self.base.mirror / "objects",
                *readable,
                *(environment.shown if environment else ()),
            ),
            path=environment.path if environment else (),
            has_network=not self.settings.has_egress_proxy,
            egress=self.egress,
            overlays=overlays_in(workspace.worktree, workspace.layers) if with_overlays else (),
            image=environment.image if environment else None,
        )
