"""What every program of an agent sees of its surroundings; everything else is scrubbed."""

from __future__ import annotations

from orchestrator.settings import Settings
from orchestrator.workspace.clone import Workspace

#: Of this host's own environment.
_HOST_NAMES = ("PATH", "LANG", "LC_ALL", "TZ")


def environment(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """Return the environment of a program that works in this workspace."""
    host = settings.host_env
    return {
        **{name: host[name] for name in _HOST_NAMES if name in host},
        "HOME": str(workspace.home),
        "TMPDIR": str(workspace.tmp),
        "TERM": "dumb",
    }
