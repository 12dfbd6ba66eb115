"""The warnings of a running agent, which the event `agent.warning` carries; none is a failure."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.models.record import Record


class WarningCode(StrEnum):
    """The reason of a warning."""

    #: Most of its time is used.
    TIME_RUNNING_OUT = "time_warning"
    #: It has reached its limit of tokens, and the mode is soft.
    BUDGET_EXCEEDED = "budget_exceeded"
    #: It is active but reports no tokens; the mode is soft.
    USAGE_REPORTS_MISSING = "usage_reports_missing"
    #: A report of its tokens was not counted.
    USAGE_REFUSED = "usage_refused"
    #: Its session could not be resumed: a new session continues the work.
    SESSION_LOST = "session_lost"
    #: The change of an attempt could not be stored and is in a folder of its host.
    CHANGE_NOT_SAVED = "change_not_saved"
    #: The repository has configuration for agent programs; the text says whether it is applied.
    AGENT_CONFIG = "agent_config"


class AgentWarning(Record):
    """One warning."""

    code: WarningCode
    text: str
