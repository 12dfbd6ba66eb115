"""What the pushed commit says: the agent's words or the request's, and which model made it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.models.model_choice import FallbackRecord
from tests.integration.conftest import git
from tests.integration.delivery.judged import NEW, Judged, judging
from tests.integration.delivery.lab import Lab

FELL_BACK = FallbackRecord(
    at=datetime(2030, 1, 1, tzinfo=UTC), from_choice="one:large", to="two", reason="limit"
)


def message(judged: Judged, **changed: object) -> list[str]:
    agent = judged.agent.model_copy(update=changed)
    commit = str(judged.deliver(agent=agent)["commit"])
    git_dir = judged.reconciled.candidate.git_dir
    return git("show", "-s", "--format=%B", commit, cwd=git_dir).splitlines()


def test_the_summary_of_the_agent_is_the_subject(judged):
    assert message(judged, summary="Adds a constant")[0] == "Adds a constant"


def test_without_a_summary_the_first_line_of_the_work_items_is_it(tmp_path, valkey_url, remote):
    context = {"repository": str(remote), "branch": "main"}
    # The signs are an end of line to Python, and no blanks to what checks the request.
    items = ["\x1c \x1cAdd a constant\n" + json.dumps({"steps": [NEW]}), "Something else"]
    lab = Lab(tmp_path, valkey_url)
    with judging(lab, remote, context={**context, "workItems": items}) as judged:
        assert message(judged, summary=None)[0] == "Add a constant"


@pytest.mark.parametrize(
    ("changed", "trailers"),
    [
        ({"model": None, "fell_back": None}, []),
        ({"model": "large", "fell_back": None}, ["Agent-Model: scripted:large"]),
        (
            {"model": None, "fell_back": (FELL_BACK,)},
            ["Agent-Model: scripted", "Agent-Fallback: one:large to two"],
        ),
    ],
)
def test_the_model_and_its_changes_are_trailers(judged, changed, trailers):
    found = message(judged, **changed)
    assert [line for line in found if line.startswith(("Agent-Model", "Agent-Fall"))] == trailers
