"""Session files: everything of the session is taken along, and nothing else of a hostile HOME."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.backends._claude_session import read_session, write_session

SESSION_ID = "00000000-0000-4000-8000-000000000001"
MAIN = ('{"type": "user", "text": "\u2028 \\ud83d"}', '{"type": "title"}')
KNOWN = '{"agentType": "x", "type": "agent_metadata"}'
SESSION = {
    "": MAIN,
    "subagents/agent-1": ('{"type": "user"}', KNOWN),
    "subagents/workflows/run-1/agent-2": ('{"type": "user", "text": "agent_metadata"}',),
}


@pytest.fixture
def home(tmp_path):
    """A HOME that holds the session, below a root as an agent's workspace has it."""
    folder = tmp_path / "a1" / "home"
    folder.mkdir(parents=True)
    write_session(folder, tmp_path / "tree", SESSION_ID, SESSION)
    return folder


def main(home: Path) -> Path:
    (found,) = (home / ".claude" / "projects").glob(f"*/{SESSION_ID}.jsonl")
    return found


def test_a_session_comes_back_as_it_was_written(home):
    assert read_session(home, SESSION_ID) == SESSION
    known = main(home).with_suffix("") / "subagents" / "agent-1.meta.json"
    assert json.loads(known.read_text())["agentType"] == "x"
    assert read_session(home, SESSION_ID.replace("1", "2")) == {}
    assert read_session(home, "*") == {}


def test_lines_that_are_no_documents_stay_behind(home):
    with main(home).open("ab") as stream:
        stream.write(b'\n[]\n\xff\n{"a": NaN\n' + b"[" * 100_000 + b'\n{"type": "last"}\n{"half')
    assert read_session(home, SESSION_ID)[""] == (*MAIN, '{"type": "last"}')


def test_a_session_over_the_limit_stays_behind_whole(home):
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    assert read_session(home, SESSION_ID, limit_bytes=size) != {}
    assert read_session(home, SESSION_ID, limit_bytes=size - 1) == {}


def _link(path: Path, outside: Path) -> None:
    """Move it out of reach and leave a link."""
    path.rename(outside)
    path.symlink_to(outside)


def _pipe(path: Path, outside: Path) -> None:
    path.rename(outside)
    os.mkfifo(path)


@pytest.mark.parametrize("trick", [_link, _pipe])
@pytest.mark.parametrize("level", range(5))
def test_no_link_is_followed_and_no_pipe_waited_for_at_any_level(home, tmp_path, trick, level):
    steps = [main(home), *main(home).parents]
    trick(steps[level], tmp_path / "outside")
    assert read_session(home, SESSION_ID) == {}


@pytest.mark.parametrize("trick", [_link, _pipe])
@pytest.mark.parametrize("below", ["", "subagents", "subagents/agent-1.jsonl"])
def test_a_subagent_that_is_none_stays_behind_alone(home, tmp_path, trick, below):
    trick(main(home).with_suffix("") / below, tmp_path / "outside")
    read = read_session(home, SESSION_ID)
    assert read[""] == MAIN
    assert "subagents/agent-1" not in read


def test_no_depth_and_no_name_leads_out(home, tmp_path):
    session = main(home).with_suffix("")
    for name in ("sub.agent.jsonl", "-x.jsonl", "\udcff.jsonl"):
        (session / name).write_text("{}")
    deep = session.joinpath(*["d"] * 100)
    deep.mkdir(parents=True)
    (deep / "agent.jsonl").write_text("{}")
    assert set(read_session(home, SESSION_ID)) == set(SESSION)

    other = tmp_path / "other" / "home"
    other.mkdir(parents=True)
    hostile = {"": MAIN, "../../x": MAIN, "/x": MAIN, "a/../../../x": MAIN, "x.y": MAIN}
    write_session(other, tmp_path / "tree", SESSION_ID, hostile)
    assert [path for path in other.rglob("*") if path.is_file()] == [main(other)]
    write_session(other, tmp_path / "tree", "../x", {"": MAIN})
    assert [path for path in other.rglob("*") if path.is_file()] == [main(other)]
