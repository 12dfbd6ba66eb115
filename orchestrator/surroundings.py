"""Where the programs of one attempt run, and all that they see of their surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.models import AgentState
from orchestrator.ports import EGRESS_PORT, ProcessSpec
from orchestrator.settings import Settings
from orchestrator.workspace.clone import Workspace
from orchestrator.workspace.mirror import Base

#: Of this host's own environment.
_HOST_NAMES = ("PATH", "LANG", "LC_ALL", "TZ")


def host_environment(settings: Settings) -> dict[str, str]:
    """Return what any program we start may see of this host's environment."""
    host = settings.host_env
    return {name: host[name] for name in _HOST_NAMES if name in host}


def egress_environment(socket: Path | None) -> dict[str, str]:
    """Return what tells a program of its proxy, by the names that tools of all kinds read."""
    if socket is None:
        return {}
    address = f"http://127.0.0.1:{EGRESS_PORT}"
    inside = "127.0.0.1,localhost,::1"
    told = {"HTTPS_PROXY": address, "HTTP_PROXY": address, "NO_PROXY": inside}
    return {**told, **{name.lower(): value for name, value in told.items()}}


@dataclass(frozen=True)
class Surroundings:
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
