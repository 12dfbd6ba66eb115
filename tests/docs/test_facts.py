"""Numbers and names that pages state are those of the code."""

from __future__ import annotations

import re

import pytest

from orchestrator.api.app import ENDPOINTS
from orchestrator.models.access import KeyScope
from orchestrator.models.attention import Rank, WaitingFor
from orchestrator.settings import Settings
from orchestrator.store import events, registration, transition, unreadable
from tests.docs.test_pages import ROOT, words

DAY_S = 86_400


def source(path: str) -> str:
    return (ROOT / "orchestrator" / path).read_text("utf-8")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def test_the_page_of_stored_data_states_the_times_and_numbers_of_the_code():
    text = page("data.md")
    assert transition.RESULT_TTL_S == registration.IDEMPOTENCY_TTL_S == DAY_S
    assert events.EVENTS_CAP == 100_000
    assert unreadable.MOST_KEPT == 100
    assert "DAY_TTL_S = 100 * 86400" in source("store/lua/_budget.lua")
    assert '{"maxbytes": "10MB", "backups": "3"}' in source("cli/local/supervisord.py")
    assert 'max-size: 10m, max-file: "5"' in (ROOT / "deploy/compose.yaml").read_text("utf-8")
    for stated in ("| 1 day |", "newest 100,000", "| 100 days |", "10 MB and three older"):
        assert stated in text
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert defaults["log_lines"] == 10_000
    assert "the newest 10,000 lines" in text


def test_the_runbook_names_each_kind_of_inconsistency():
    code = source("maintenance/consistency.py") + source("maintenance/message_drifts.py")
    kinds = set(re.findall(r'Drift\(\s*"([a-z-]+)"', code))
    section = page("runbook-system.md").partition("## Inconsistencies")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} == kinds


def test_the_page_of_kills_names_each_action_of_the_audit():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "orchestrator").rglob("*.py"))
    actions = set(re.findall(r'AuditAction\(\s*action="([a-z-]+)"', code))
    section = page("killing.md").partition("## The audit")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} == actions


@pytest.mark.parametrize("scope", KeyScope)
def test_the_page_of_the_api_lists_the_routes_of_each_scope(scope):
    section = page("api.md").partition("### Scopes")[2].partition("\n### ")[0]
    row = " ".join(re.findall(rf"^\| `{scope}` \| (.+) \|$", section, re.MULTILINE))
    assert row
    if scope is not KeyScope.READ:
        paths = {f"{one.method} {one.path}" for one in ENDPOINTS if one.scope is scope}
        assert set(re.findall(r"`(\w+ /[^`]+)`", row)) == paths


def test_the_page_of_daily_work_names_each_rank_and_each_thing_that_an_agent_waits_for():
    text = words(ROOT / "docs/operating.md")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) >= set(WaitingFor)
    assert {int(n) for n in re.findall(r"^\| (\d) \|", text, re.MULTILINE)} == set(Rank)
