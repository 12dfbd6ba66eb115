"""Which host this is: its machine and its boot, not its name, which two hosts may share."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

_MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_BOOT_FILE = "/proc/sys/kernel/random/boot_id"
_CHARACTERS = 12


@cache
def host_identity() -> str:
    """Return `machine.boot`; two programs with the same one see each other's processes.

    Containers of one kernel count as different boots, since each has its own processes.
    """
    machine = next(filter(None, map(_read, _MACHINE_FILES)), "")
    boot = _read(_BOOT_FILE)
    with suppress(OSError):
        boot += str(Path("/proc/self/ns/pid").readlink())
    return f"{_digest(machine)}.{_digest(boot)}"


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text("utf-8").strip()
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_CHARACTERS]
