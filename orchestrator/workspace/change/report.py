"""The report of a capture, parsed and bounded, because it comes from the agent's sandbox."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.log import get_logger
from orchestrator.models import LeftOut, Retained

_MOST_RETAINED = 100
_MOST_REASONS, _MOST_PATHS, _CHARACTERS = 20, 10, 300
_MOST_COUNT = 10**9

log = get_logger("capture")


class CaptureReport(BaseModel):
    """The commits beside the change, the paths in no bundle, and the unfinished git operations.

    `read_report` bounds it.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    is_changed: bool = True
    retained: tuple[Retained, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unfinished: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """Return the retained commits and the paths left out, for the receipt of a kill."""
        facts = {"retained": self.retained, "leftOut": self.left_out}
        return {name: [one.wire() for one in found] for name, found in facts.items() if found}


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
                one.model_copy(update={"subject": one.subject[:_CHARACTERS], "attempt": None})
                for one in report.retained[:_MOST_RETAINED]
            ),
            "left_out": _bounded(report.left_out),
            "unfinished": tuple(one[:_CHARACTERS] for one in report.unfinished[:_MOST_PATHS]),
        }
    )


def _bounded(left_out: tuple[LeftOut, ...]) -> tuple[LeftOut, ...]:
    """Return the entries within the bounds; those of too many reasons become one entry."""
    if len(left_out) > _MOST_REASONS:
        rest = left_out[_MOST_REASONS - 1 :]
        paths = tuple(path for one in rest for path in one.paths[:1])
        one = LeftOut(reason="other reasons", count=sum(one.count for one in rest), paths=paths)
        left_out = (*left_out[: _MOST_REASONS - 1], one)
    return tuple(
        LeftOut(
            reason=one.reason[:_CHARACTERS] or "no reason given",
            count=min(max(one.count, len(one.paths), 1), _MOST_COUNT),
            paths=tuple(path[:_CHARACTERS] for path in one.paths[:_MOST_PATHS]),
        )
        for one in left_out
    )
