"""Errors of settings and of the machine the system runs on."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class SettingsInvalid(OrchestratorError):
    """A setting has a value that cannot be used."""

    code = "settings_invalid"
    action = "Correct the variable named above and start again."


class DiskQuotaExceeded(OrchestratorError):
    """The agent filled more of the disk than one agent may."""

    code = "disk_quota_exceeded"
    action = "Give it smaller work items, or raise ORCHESTRATOR_DISK_QUOTA."


class PortInUse(OrchestratorError):
    """A port this system must listen on is taken."""

    code = "port_in_use"
    action = "Stop what listens there, or choose another port."


class SystemNotRunning(OrchestratorError):
    """No orchestrator runs here."""

    code = "not_running"
    action = "Start one with `orch up --detach`, or set VALKEY_URL to the server of one that runs."


class SystemAlreadyRunning(OrchestratorError):
    """An orchestrator already runs from this ORCHESTRATOR_HOME."""

    code = "already_running"
    action = "Use it, or end it with `orch down`."


class StartFailed(OrchestratorError):
    """A part of the system did not become ready."""

    code = "start_failed"
    action = "Read the log named above."


class EgressUnavailable(OrchestratorError):
    """The proxy that is a sandbox's only way out cannot be opened."""

    code = "egress_unavailable"
    action = "Choose a shorter ORCHESTRATOR_HOME that this user may write in."
