"""The alerts are well formed: who is woken, where the runbook is, and nothing of the past."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.docs.test_pages import ROOT, anchors

RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
#: What an operator has to mend at night: nothing else of the system goes on, or spends unseen.
AT_NIGHT = {
    "OrchestratorUnreachable",
    "NoWorker",
    "KillUnconfirmed",
    "CoordinatorUnreachable",
    "DiskShort",
    "DiskLow",
    "SweepOverdue",
    "UsageReportsMissing",
}


def test_only_what_must_be_mended_at_night_is_critical():
    critical = {rule["alert"] for rule in RULES if rule["labels"]["severity"] == "critical"}
    assert critical == AT_NIGHT
    assert {rule["labels"]["severity"] for rule in RULES} == {"critical", "warning"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_names_its_entry_in_the_runbook(rule):
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(ROOT / "docs" / page)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_no_rule_fires_for_what_happened_before_the_first_scrape(rule):
    """A missing earlier value counts as 0: then all that ever happened looks new."""
    text = rule["expr"]
    assert text.count("(") == text.count(")")
    for window in re.findall(r"offset (\w+)\) or vector\(0\)", text):
        assert f"and on () sum(orchestrator_halted offset {window}) >= 0" in text
    if "vector(0)" not in text:
        assert "offset" not in text
