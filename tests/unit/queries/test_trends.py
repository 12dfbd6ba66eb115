"""The summary of the trends: its windows, and the repositories that it names."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.queries.trends import HOURS, MINUTES, NAMED, summarize

NOW = datetime(2026, 11, 29, 0, 30, 59, tzinfo=UTC)
MINUTE, HOUR = int(NOW.timestamp()) // 60, int(NOW.timestamp()) // 3600


def test_the_present_minute_and_hour_are_the_last_ones():
    counts = {
        ("m", MINUTE, "ended", ""): 2.0,
        ("m", MINUTE, "started", ""): 4.0,
        ("m", MINUTE, "wait_s", ""): 10.0,
        ("m", MINUTE - MINUTES + 1, "tokens", ""): 7.0,
        ("m", MINUTE - MINUTES, "ended", ""): 99.0,
        ("h", HOUR, "ended", "r"): 1.0,
        ("h", HOUR - HOURS + 1, "ended", "r"): 3.0,
        ("h", HOUR - HOURS, "ended", "old"): 99.0,
    }
    found = summarize(counts, NOW)
    assert len(found.minutes) == MINUTES
    last, first = found.minutes[-1], found.minutes[0]
    assert (last.at, last.ended, last.wait_s) == (NOW.replace(second=0), 2, 2.5)
    assert (first.tokens, sum(one.ended for one in found.minutes)) == (7, 2)
    assert found.hours[-1] == NOW.replace(minute=0, second=0)
    (only,) = found.repositories
    assert (only.repository, only.ended) == ("r", (3, *[0] * (HOURS - 2), 1))


def test_the_largest_repositories_are_named_and_the_others_are_one():
    counts = {("h", HOUR, "ended", f"r{at:02}"): float(at) for at in range(1, 13)}
    counts["h", HOUR, "ended", ""] = 100.0
    counts["h", HOUR, "tokens", "r01"] = 5.0
    found = summarize(counts, NOW).repositories
    assert [one.repository for one in found] == [*(f"r{at:02}" for at in range(12, 5, -1)), ""]
    assert len(found) == NAMED + 1
    assert (found[-1].ended[-1], found[-1].tokens[-1]) == (115, 5)
    assert summarize({}, NOW).repositories == ()
