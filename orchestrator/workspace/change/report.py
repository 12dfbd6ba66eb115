"""The report of a capture, parsed and bounded, because it comes from the agent's sandbox."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.log import get_logger
from orchestrator.models import LeftOut, Retained

_MOST_RETAINED = 100
_MOST_REASONS, _MOST_PATHS, _CHARACTERS = 20, 10, 300

log = get_logger("capture")


class CaptureReport(BaseModel):
    """The commits beside the change, the paths in no bundle, and the unfinished git operations."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    is_changed: bool = True
    retained: tuple[Retained, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unfinished: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """Return the fields of the report for the agent's state; None removes an earlier value."""
        retained = [one.wire() for one in self.retained[:_MOST_RETAINED]]
        left_out = [one.wire() for one in self.left_out[:_MOST_REASONS]]
        unfinished = list(self.unfinished[:_MOST_PATHS])
        return {
            "retained": retained or None,
            "leftOut": left_out or None,
            "unfinished": unfinished or None,
        }


def read_report(stdout: bytes) -> CaptureReport:
    """Read the report of a capture; a damaged report is logged and gives an empty one."""
    try:
        report = CaptureReport.model_validate_json(stdout)
    except ValidationError as error:
        log.warning("report of a capture not read", reason=str(error.errors()[0]["msg"]))
        return CaptureReport()
    return report.model_copy(
        update={
            "retained": tuple(
                one.model_copy(update={"subject": one.subject[:_CHARACTERS]})
                for one in report.retained
            ),
            "left_out": tuple(
                LeftOut(
                    reason=one.reason[:_CHARACTERS],
                    count=one.count,
                    paths=tuple(path[:_CHARACTERS] for path in one.paths[:_MOST_PATHS]),
                )
                for one in report.left_out
            ),
            "unfinished": tuple(one[:_CHARACTERS] for one in report.unfinished),
        }
    )
