"""What may end an agent that still runs, told by the event `agent.warning`: no failure yet."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.models.record import Record


class WarningCode(StrEnum):
    """What an agent is warned of."""

    #: Most of its time is used up.
    TIME_RUNNING_OUT = "time_warning"
    #: It has reached its limit of tokens, and the mode is soft.
    BUDGET_EXCEEDED = "budget_exceeded"
    #: It works, and reports no tokens; the mode is soft.
    USAGE_REPORTS_MISSING = "usage_reports_missing"
    #: A report of its tokens was not counted.
    USAGE_REFUSED = "usage_refused"
    #: Its session could not be resumed: a fresh one goes on with its work.
    SESSION_LOST = "session_lost"
    #: What an attempt left could not be stored, and stands in a folder of its host.
    CHANGE_NOT_SAVED = "change_not_saved"


class AgentWarning(Record):
    """One warning."""

    code: WarningCode
    text: str
