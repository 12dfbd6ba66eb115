"""The user who runs a command, for the audit."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """Return the user who runs this command, and the host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name.
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
