"""Sessions and logs: no call to Valkey carries much more than one piece, and nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.models import LogLine
from orchestrator.store import agent_logs
from orchestrator.store.objects import PIECE_BYTES
from orchestrator.store.sessions import keep_session, recall_session
from tests.integration.test_objects import OVERHEAD_BYTES, Measured
from tests.script_calls import seed

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LIMIT_BYTES = PIECE_BYTES + OVERHEAD_BYTES


@pytest.fixture
def measured(valkey_url):
    store = Measured(valkey_url)
    yield store
    store.close()


def entry(size: int, number: int = 0, character: str = "x") -> str:
    return json.dumps({"type": "x", "of": number, "text": character * size}, ensure_ascii=False)


SESSIONS = {
    "many small": [entry(10, number) for number in range(3000)],
    "some of a piece": [entry(50_000, number) for number in range(7)],
    "one of 5 MiB": [entry(5), entry(5 * 2**20), entry(5)],
    "of four bytes a character": [entry(400_000, 0, "\U0001f600"), entry(70_000, 1, "\u20ac")],
    "that look like parts": ["\x01a", "\x02b", "\x02", "\x01" + "y" * 500_000, "no JSON"],
    "of odd sizes": [entry(PIECE_BYTES // 4 + delta) for delta in range(-60, 4)],
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_comes_back_as_it_was_whatever_the_size_of_its_entries(measured, name):
    entries = SESSIONS[name]
    measured.follow(keep_session("a1", 1, "s", {"": entries, "sub": entries[:2]}, now=NOW))
    found = measured.follow(recall_session("a1", 1, "s"))
    assert list(found[""]) == entries
    assert list(found["sub"]) == entries[:2]
    assert max(measured.sizes) <= LIMIT_BYTES
    measured.scripts.clear()
    measured.follow(keep_session("a1", 1, "s", {"": entries}, now=NOW))
    assert "keep_session" not in measured.scripts


def test_a_save_of_a_session_cut_off_within_an_entry_is_completed_by_the_next(measured):
    entries = [entry(5), entry(2 * 2**20), entry(6)]
    flow = keep_session("a1", 1, "s", {"": entries}, now=NOW)
    operation = next(flow)
    for _ in range(5):
        operation = flow.send(measured.run(operation))
    flow.close()
    assert list(measured.follow(recall_session("a1", 1, "s"))[""]) == entries[:1]
    measured.follow(keep_session("a1", 1, "s", {"": entries}, now=NOW))
    assert list(measured.follow(recall_session("a1", 1, "s"))[""]) == entries


def lines_of(size: int, count: int) -> list[LogLine]:
    return [
        LogLine(at=NOW, source="agent", text=f"{number} " + "x" * size) for number in range(count)
    ]


@pytest.mark.parametrize(("size", "count"), [(0, 1201), (16_000, 300), (60_000, 5), (1000, 16)])
def test_a_log_is_written_and_read_in_small_calls(measured, size, count):
    seed(measured)
    lines = lines_of(size, count)
    step = agent_logs.append_lines("running", 1, lines, cap=10_000, most_bytes=2**30)
    assert measured.follow(step) is True
    read = measured.follow(agent_logs.read_log("running", count=5000))
    assert [line.text for line in read] == [line.text for line in lines]
    assert measured.follow(agent_logs.read_log("running", count=count)) == read
    assert measured.follow(agent_logs.read_log("running", count=count - 1)) == read[:-1]
    assert measured.follow(agent_logs.read_log("running", after=read[2].id)) == read[3:503]
    assert measured.follow(agent_logs.read_log("running", after=read[-1].id)) == []
    for last in (1, 4, 17, 1000, 5000):
        assert measured.follow(agent_logs.last_lines("running", last)) == tuple(read[-last:])
    assert measured.follow(agent_logs.read_log("nobody")) == []
    assert max(measured.sizes) <= LIMIT_BYTES


def test_an_attempt_that_lost_its_agent_writes_no_line(measured):
    seed(measured)
    step = agent_logs.append_lines("running", 2, lines_of(16_000, 100), cap=10_000)
    assert measured.follow(step) is False
    assert measured.scripts.count("append_log") == 1
    assert measured.follow(agent_logs.read_log("running")) == []
