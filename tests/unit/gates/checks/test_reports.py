"""Coverage is read from reports whose format their content tells, and from nothing doubtful."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates.checks._reports import ReportUnreadable, percent_of

COBERTURA = """<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage {attributes}><packages><package line-rate="0.1"/></packages></coverage>"""


def coverage_py(**totals) -> bytes:
    return json.dumps({"meta": {}, "files": {}, "totals": totals}).encode()


def istanbul(**lines) -> bytes:
    return json.dumps({"total": {"lines": lines, "branches": {"pct": "Unknown"}}}).encode()


def cobertura(attributes: str) -> bytes:
    return COBERTURA.format(attributes=attributes).encode()


@pytest.mark.parametrize(
    ("content", "percent"),
    [
        (coverage_py(covered_lines=3, num_statements=4, percent_covered=71.5), 71.5),
        (istanbul(total=8, covered=7, skipped=0, pct=87.5), 87.5),
        (cobertura('line-rate="0.57"'), 57),
        (cobertura('line-rate="0.9" lines-valid="6" lines-covered="3"'), 50),
        (cobertura('line-rate="0.9" lines-valid="6"'), 90),
        (cobertura('line-rate="0.9" lines-covered="3"'), 90),
        (b"TN:\nSF:a.js\nDA:1,1\nLF:3\nLH:1\nend_of_record\nSF:b.js\nLF:1\nLH:1\n", 50),
        (b"mode: set\na.go:1.1,2.2 3 1\na.go:3.1,4.2 1 0\na.go:3.1,4.2 1 0\n", 75),
        (b"mode: atomic\na.go:1.1,2.2 1 0\na.go:1.1,2.2 1 7\na.go:1.1,2.2 1 0\n", 100),
        (b"\xef\xbb\xbf\n" + istanbul(total=1, covered=1), 100),
    ],
)
def test_each_format_is_read(content, percent):
    assert percent_of(content) == percent


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "known format"),
        (b"TOTAL 100%", "known format"),
        (b"\x00\xff", "known format"),
        (b"{", "known format"),
        (b"[" * 100_000, "known format"),
        (b'{"total":' * 100_000, "known format"),
        (b'{"total": {"lines": {"total": 1, "covered": -1}}}', "known format"),
        (coverage_py(num_statements=4, percent_covered=100.1), "known format"),
        (b'{"totals": {"num_statements": 4, "percent_covered": NaN}}', "known format"),
        (b"<coverage", "known format"),
        (b"<coverage/>", "known format"),
        (cobertura('line-rate="nan"'), "known format"),
        (cobertura('line-rate="1"')[:-5], "known format"),
        (b'<report line-rate="1"/>', "cobertura"),
        (b'<!DOCTYPE c [<!ENTITY a "b">]><coverage line-rate="1"/>', "entities"),
        (b'<!DOCTYPE c [<!ENTITY a SYSTEM "/etc/passwd">]><coverage line-rate="1"/>', "entities"),
        (b'<!DOCTYPE c [<!ENTITY % a SYSTEM "file:///x">%a;]><coverage/>', "entities"),
        (b"SF:a\nLF:x\n", "no count"),
        ("SF:a\nLF:²\n".encode(), "no count"),
        (b"SF:a\nLF:" + b"9" * 10_000, "no count"),
        (b"SF:a\nLF:1\nLH:2\n", "more lines"),
        (b"LF:1\nLH:1\n", "known format"),
        (b"mode: set\na.go:1.1,2.2\n", "no count"),
        (b"mode: set\n", "no lines"),
        (b"SF:a\n", "no lines"),
        (istanbul(total=0, covered=0, pct="Unknown"), "no lines"),
        (coverage_py(num_statements=0, percent_covered=100), "no lines"),
    ],
)
def test_what_measures_nothing_or_cannot_be_read_is_no_coverage(content, reason):
    with pytest.raises(ReportUnreadable, match=reason):
        percent_of(content)
