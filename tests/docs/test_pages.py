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
from orchestrator.models.warning import WarningCode

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INDEX = ROOT / "docs/README.md"
GLOSSARY = ROOT / "docs/glossary.md"
RUNBOOK = [
    ROOT / "docs" / f"{name}.md"
    for name in ("runbook-system", "runbook-agents", "runbook-shortages")
]
MOST_LINES = 250
MOST_CHARACTERS = 100
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- ([\w ]+) -->.*?<!-- /\1 -->", re.DOTALL)
#: Words of one family: `stray` retires `strays` too.
_ENDINGS = "(s|es|ed|d|ing)?"


def named(page: Path) -> str:
    """Return what a page is called in the list of tests."""
    return str(page.relative_to(ROOT))


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


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_there_are(page):
    for target in re.findall(r"\]\(([^)]+)\)", words(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_picture_is_shown_by_a_page():
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", words(page))
    }
    assert {*(ROOT / "docs/img").iterdir()} == shown


def test_the_index_leads_to_every_page():
    linked = set(re.findall(r"\]\(([\w/-]+\.md)", words(INDEX)))
    pages = {str(page.relative_to(INDEX.parent)) for page in PAGES[1:]}
    assert linked == pages - {INDEX.name}
    assert "(docs/README.md)" in words(PAGES[0])


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=named)
def test_a_page_can_be_read(page):
    """A generated table may have longer lines."""
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    is_table = re.compile(r"\|.*\|")
    generated = {line for block in _GENERATED.finditer(text) for line in block[0].splitlines()}
    for line in text.splitlines():
        if not (line in generated and is_table.fullmatch(line)):
            assert len(line) <= MOST_CHARACTERS, line


def retired() -> list[tuple[str, str]]:
    """Return each retired word with its scope, from the table of the glossary."""
    block = next(m[0] for m in _GENERATED.finditer(GLOSSARY.read_text()) if m[1] == "retired words")
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (names|all) \|$", block, re.MULTILINE)
    assert len(rows) == len(block.splitlines()) - 4
    return [(word.strip(), scope) for row, _, scope in rows for word in row.split(",")]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=named)
def test_no_page_uses_a_retired_word(page):
    """Code spans are exempt: they quote names, which another test holds."""
    text = re.sub(
        r"`[^`]*`", "", _GENERATED.sub("", words(page)) if page == GLOSSARY else words(page)
    )
    text = " ".join(text.split())
    for word in (word for word, scope in retired() if scope == "all"):
        found = re.search(rf"\b{word}{_ENDINGS}\b", text, re.IGNORECASE)
        assert not found, text[max(found.start() - 40, 0) : found.end() + 40]


def test_the_architecture_names_files_that_there_are():
    text = words(ROOT / "docs/architecture.md").partition("## Where to find what")[2]
    table = text.partition("## Layers")[0]
    for path in re.findall(r"`([\w/.]+(?:/|\.\w+))`", table):
        above = ROOT if path.startswith("workers/") else ROOT / "orchestrator"
        assert (above / path).exists(), path


def test_the_glossary_is_sorted_and_each_term_has_one_sentence():
    entries = re.findall(r"^- \*\*(.+?)\*\*: ((?:.|\n  )+)$", GLOSSARY.read_text(), re.MULTILINE)
    terms = [term.lower() for term, _ in entries]
    assert terms == sorted(set(terms))
    assert len(terms) == GLOSSARY.read_text().count("\n- **")
    for term, meaning in entries:
        assert meaning.count(". ") == 0, term
        assert meaning.endswith("."), term


def test_every_alert_has_its_entry_in_the_runbook():
    entries = [(page.name, anchor) for page in RUNBOOK for anchor in anchors(page)]
    index = words(ROOT / "docs/operating.md")
    for rule in alerts():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        name = str(rule["alert"])
        (page,) = [page for page, anchor in entries if anchor == name.lower()]
        assert re.search(rf"^\| {name} \| \[.+\]\({page}#{name.lower()}\) \|$", index, re.MULTILINE)


def test_alerts_and_runbook_speak_of_codes_that_there_are():
    known = {error.code for _, error in inspect.getmembers(errors, inspect.isclass)}
    known -= {OrchestratorError.code}
    asked = re.findall(r'\b(code|status)=~?"([\w|]+)"', " ".join(str(r["expr"]) for r in alerts()))
    assert asked
    for label, values in asked:
        there = known if label == "code" else {*map(str, Status), *map(str, GateStatus)}
        assert set(values.split("|")) <= there
    runbook = " ".join(map(words, [ROOT / "docs/operating.md", *RUNBOOK]))
    reported = re.findall(r"`([a-z]+_[a-z_]+)`", runbook)
    stated = {code for code in reported if not code.startswith("orchestrator_")}
    assert stated <= known | {*map(str, WarningCode)}
