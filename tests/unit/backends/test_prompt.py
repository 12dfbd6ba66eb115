"""A prompt holds what the job says, as data, in the words of its agentType."""

from __future__ import annotations

import re

import pytest

from orchestrator.backends._prompt import render
from orchestrator.interfaces.agent import AgentJob
from orchestrator.models import AgentType


def job(tmp_path, **changes):
    given = {
        "agent_id": "a-1",
        "agent_type": AgentType.WORKER,
        "work_items": ("Fix $skills and ${rules} {prompt}.\nIn two lines.", "Second."),
        "skills": (),
        "worktree": tmp_path,
        "home": tmp_path,
    }
    return AgentJob(**{**given, **changes})


@pytest.mark.parametrize("agent_type", AgentType)
def test_each_type_has_its_template_and_every_work_item_is_in_it_unread(tmp_path, agent_type):
    prompt = render(job(tmp_path, agent_type=agent_type))
    assert "1. Fix $skills and ${rules} {prompt}.\n   In two lines.\n2. Second.\n" in prompt
    assert "do not push" in prompt
    assert "# Skills" not in prompt
    assert "rejected" not in prompt
    assert set(re.findall(r"\$\{?\w+", prompt)) == {"$skills", "${rules"}


def test_the_types_differ(tmp_path):
    assert len({render(job(tmp_path, agent_type=kind)) for kind in AgentType}) == len(AgentType)


def test_skills_and_the_findings_of_a_rejected_round_are_in_it(tmp_path):
    prompt = render(job(tmp_path, skills=("sql", "tdd"), feedback="tests failed: $work_items"))
    assert "sql, tdd" in prompt
    assert "tests failed: $work_items" in prompt
    assert prompt.count("\n# ") == 4
