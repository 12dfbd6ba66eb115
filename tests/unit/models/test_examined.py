"""A count of agents that need attention says `at least` where it examined only the newest."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from orchestrator.cli.output.recap_text import recap_tables
from orchestrator.cli.output.top_text import top_lines
from orchestrator.models import Status
from orchestrator.models.attention import MAY_NEED_ATTENTION, MOST_EXAMINED, examines_all
from orchestrator.queries.recap import recap
from tests.unit.cli.test_top import running, screen
from tests.unit.queries.test_recap import NOW, SINCE


@pytest.mark.parametrize("status", MAY_NEED_ATTENTION)
def test_one_more_than_is_examined_may_be_missing(status):
    assert examines_all({status: MOST_EXAMINED})
    assert not examines_all({status: MOST_EXAMINED + 1})


def test_killed_agents_need_attention_by_another_list():
    assert {*MAY_NEED_ATTENTION} == {*Status} - {Status.KILLED}
    assert examines_all({Status.KILLED: 10 * MOST_EXAMINED})


def test_top_and_recap_say_so():
    shown = replace(screen(running("a")), counts={Status.FAILED: MOST_EXAMINED + 1})
    assert "need attention at least 1 " in click.unstyle(top_lines(shown, 100, 24)[0])
    for is_least, text in ((True, "; at least 3 need"), (False, "; 3 need")):
        facts = {"need_attention": 3, "need_attention_is_least": is_least}
        found = recap([], {}, since=SINCE, until=NOW, **facts)
        title, _, _ = next(iter(recap_tables(found)))
        assert text in title
