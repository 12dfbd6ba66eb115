"""The environment of started programs: variables of this host, and those of the egress proxy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orchestrator.interfaces.sandbox import EGRESS_PORT
from orchestrator.settings import Settings

#: The variables of this host's environment that programs get.
_HOST_NAMES = ("PATH", "LANG", "LC_ALL", "TZ")


def host_environment(settings: Settings, *, with_own_tools: bool = False) -> dict[str, str]:
    """Return the variables of this host's environment that a started program gets.

    PATH does not contain the orchestrator's own virtual environment. Otherwise tests would import
    packages from it instead of those of the checkout, and hooks would install into it. With
    `with_own_tools`, for a person who works in that environment, PATH is unchanged.
    """
    host = settings.host_env
    seen = {name: host[name] for name in _HOST_NAMES if name in host}
    if sys.prefix != sys.base_prefix and "PATH" in seen and not with_own_tools:
        own = Path(sys.prefix, "bin")
        folders = [at for at in seen["PATH"].split(os.pathsep) if Path(at) != own]
        seen["PATH"] = os.pathsep.join(folders)
    return seen


def egress_environment(socket: Path | None) -> dict[str, str]:
    """Return the proxy variables for a program with the egress proxy `socket`; empty without."""
    if socket is None:
        return {}
    address = f"http://127.0.0.1:{EGRESS_PORT}"
    inside = "127.0.0.1,localhost,::1"
    reported = {"HTTPS_PROXY": address, "HTTP_PROXY": address, "NO_PROXY": inside}
    return {**reported, **{name.lower(): value for name, value in reported.items()}}
