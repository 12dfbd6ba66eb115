"""Coverage reports: coverage.py's JSON, istanbul's summary, cobertura, lcov, Go's profile."""

from __future__ import annotations

from typing import Annotated

# Entities are refused below and nothing external is ever fetched.
from xml.parsers import expat

from pydantic import BaseModel, Field, ValidationError

_Count = Annotated[int, Field(ge=0)]


class ReportUnreadable(ValueError):
    """The report has an unsupported format, or measures nothing."""


class _Totals(BaseModel):
    num_statements: _Count
    percent_covered: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class _CoveragePy(BaseModel):
    totals: _Totals


class _Lines(BaseModel):
    total: _Count
    covered: _Count


class _Total(BaseModel):
    lines: _Lines


class _Istanbul(BaseModel):
    total: _Total


class _Cobertura(BaseModel):
    rate: Annotated[float, Field(alias="line-rate", ge=0, le=1, allow_inf_nan=False)]
    covered: Annotated[_Count | None, Field(alias="lines-covered")] = None
    valid: Annotated[_Count | None, Field(alias="lines-valid")] = None


def percent_of(content: bytes) -> float:
    """Return the coverage of a report in percent; its content determines its format.

    Raises:
        ReportUnreadable: with a short reason that quotes nothing of the report.
    """
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        if content.startswith(b"{"):
            return _json(content)
        if content.startswith(b"<"):
            return _cobertura(content)
        lines = content.decode().splitlines()
        return _go(lines[1:]) if content.startswith(b"mode:") else _lcov(lines)
    except (ValidationError, expat.ExpatError, UnicodeDecodeError) as error:
        msg = "is not a coverage report in a known format"
        raise ReportUnreadable(msg) from error


def _share(covered: int, total: int) -> float:
    if total == 0:
        msg = "covers no lines at all"
        raise ReportUnreadable(msg)
    if covered > total:
        msg = "covers more lines than there are"
        raise ReportUnreadable(msg)
    return covered * 100 / total


def _json(content: bytes) -> float:
    try:
        totals = _CoveragePy.model_validate_json(content).totals
    except ValidationError:
        lines = _Istanbul.model_validate_json(content).total.lines
        return _share(lines.covered, lines.total)
    # The tool's own figure also counts branches, if they were measured.
    return totals.percent_covered if totals.num_statements else _share(0, 0)


def _cobertura(content: bytes) -> float:
    roots: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        roots.append((name, attributes))
        parser.StartElementHandler = None

    def refuse(*_: object) -> None:
        msg = "declares entities"
        raise ReportUnreadable(msg)

    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)
    (name, attributes) = roots[0]
    if name != "coverage":
        msg = "is XML, but not a cobertura report"
        raise ReportUnreadable(msg)
    report = _Cobertura.model_validate(attributes)
    if report.valid is None or report.covered is None:
        return round(report.rate * 100, 6)
    return _share(report.covered, report.valid)


def _lcov(lines: list[str]) -> float:
    sums = {"LF": 0, "LH": 0}
    for line in lines:
        kind, _, number = line.partition(":")
        if kind in sums:
            sums[kind] += _count(number)
    if not any(line.startswith("SF:") for line in lines):
        msg = "is not a coverage report in a known format"
        raise ReportUnreadable(msg)
    return _share(sums["LH"], sums["LF"])


def _go(lines: list[str]) -> float:
    # With -coverpkg the profile of every tested package contains the block.
    blocks: dict[str, tuple[int, bool]] = {}
    for line in filter(None, lines):
        block, _, numbers = line.partition(" ")
        statements, _, hits = numbers.partition(" ")
        _, was_hit = blocks.get(block, (0, False))
        blocks[block] = (_count(statements), was_hit or _count(hits) > 0)
    return _share(
        sum(statements for statements, was_hit in blocks.values() if was_hit),
        sum(statements for statements, _ in blocks.values()),
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**64))):
        msg = "holds a line that is no count"
        raise ReportUnreadable(msg)
    return int(text)
