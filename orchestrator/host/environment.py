"""What programs that we start see of this host's environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orchestrator.interfaces.sandbox import EGRESS_PORT
from orchestrator.settings import Settings

#: Of this host's own environment.
_HOST_NAMES = ("PATH", "LANG", "LC_ALL", "TZ")


def host_environment(settings: Settings, *, with_own_tools: bool = False) -> dict[str, str]:
    """Return what any program we start may see of this host's environment.

    The programs of our own virtual environment are not on its path: tests would import the
    packages that are installed there in place of those they judge, and hooks would install there.
    `with_own_tools` leaves them there, for a person who works in that environment.
    """
    host = settings.host_env
    seen = {name: host[name] for name in _HOST_NAMES if name in host}
    if sys.prefix != sys.base_prefix and "PATH" in seen and not with_own_tools:
        own = Path(sys.prefix, "bin")
        folders = [at for at in seen["PATH"].split(os.pathsep) if Path(at) != own]
        seen["PATH"] = os.pathsep.join(folders)
    return seen


def egress_environment(socket: Path | None) -> dict[str, str]:
    """Return what tells a program of its proxy, by the names that tools of all kinds read."""
    if socket is None:
        return {}
    address = f"http://127.0.0.1:{EGRESS_PORT}"
    inside = "127.0.0.1,localhost,::1"
    reported = {"HTTPS_PROXY": address, "HTTP_PROXY": address, "NO_PROXY": inside}
    return {**reported, **{name.lower(): value for name, value in reported.items()}}
