"""The pages agree with each other, with the files they name and with the alerts."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from orchestrator import errors
from orchestrator.errors import OrchestratorError
from orchestrator.models import GateStatus, Status

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def words(page: Path) -> str:
    """Return a page without its code."""
    return _FENCED.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", words(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def alerts() -> list[dict[str, object]]:
    document = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_there_are(page):
    for target in re.findall(r"\]\(([^)]+)\)", words(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", words(ROOT / "README.md")))
    assert linked == {page.name for page in PAGES[1:]}


def test_every_alert_has_its_entry_in_the_runbook():
    entries = anchors(ROOT / "docs/operating.md")
    for rule in alerts():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert str(rule["alert"]).lower() in entries


def test_alerts_and_runbook_speak_of_codes_that_there_are():
    known = {error.code for _, error in inspect.getmembers(errors, inspect.isclass)}
    known -= {OrchestratorError.code}
    asked = re.findall(r'\b(code|status)=~?"([\w|]+)"', " ".join(str(r["expr"]) for r in alerts()))
    assert asked
    for label, values in asked:
        there = known if label == "code" else {*map(str, Status), *map(str, GateStatus)}
        assert set(values.split("|")) <= there
    reported = re.findall(r"`([a-z]+_[a-z_]+)`", words(ROOT / "docs/operating.md"))
    assert {code for code in reported if not code.startswith("orchestrator_")} <= known
