"""Errors of settings and of the machine the system runs on."""

from __future__ import annotations

import errno

from orchestrator.errors.git import DiskFull
from orchestrator.errors.tree import OrchestratorError

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


class SettingsInvalid(OrchestratorError):
    """A setting has an invalid value."""

    code = "settings_invalid"
    action = "Correct the variable that the message names, and start again."


class DiskQuotaExceeded(OrchestratorError):
    """The agent used more disk space than its quota."""

    code = "disk_quota_exceeded"
    action = "Give it smaller work items, or raise ORCHESTRATOR_DISK_QUOTA."


class HostExhausted(OrchestratorError):
    """This host has no file descriptor, process or memory left."""

    code = "host_exhausted"
    retryable = True
    action = "Run fewer agents on this host, or raise the limits of its workers (`ulimit -n -u`)."

    @staticmethod
    def is_cause_of(error: Exception) -> bool:
        """Return whether the system refused something because it, or this user, has no more."""
        if isinstance(error, OSError):
            return error.errno in _EXHAUSTED
        # Python names a refused thread in its text only.
        return isinstance(error, MemoryError) or str(error) == "can't start new thread"


class ClockSkewed(OrchestratorError):
    """The clock of this host differs too much from that of Valkey."""

    code = "clock_skewed"
    action = "Synchronize the clocks of both hosts (NTP), or raise ORCHESTRATOR_CLOCK_SKEW_LIMIT."

    def __init__(self, ahead_s: float, limit_s: float) -> None:
        """Name both; `ahead_s` is negative if this host is behind."""
        side = "ahead of" if ahead_s > 0 else "behind"
        super().__init__(
            f"The clock of this host is {abs(ahead_s):.1f} s {side} that of Valkey; the limit is"
            f" {limit_s:g} s."
        )


class PortInUse(OrchestratorError):
    """Another program uses a port of this system."""

    code = "port_in_use"
    action = "Stop that program, or choose another port."


class SystemNotRunning(OrchestratorError):
    """No orchestrator runs here."""

    code = "not_running"
    action = "Start one with `orch up --detach`, or set VALKEY_URL to the server of a running one."


class SystemAlreadyRunning(OrchestratorError):
    """An orchestrator already runs from this ORCHESTRATOR_HOME."""

    code = "already_running"
    action = "Use it, or stop it with `orch down`."


class StartFailed(OrchestratorError):
    """A part of the system did not become ready."""

    code = "start_failed"
    action = "Read the log that the message names."


class EgressUnavailable(OrchestratorError):
    """The egress proxy of a sandbox cannot be opened."""

    code = "egress_unavailable"
    action = "Choose a shorter ORCHESTRATOR_HOME in which this user has write permission."


def fault_of_host(error: Exception) -> type[OrchestratorError] | None:
    """Return the class for what this host or its disk lacks; None for any other cause."""
    classes: tuple[type[DiskFull | HostExhausted], ...] = (DiskFull, HostExhausted)
    return next((each for each in classes if each.is_cause_of(error)), None)
