"""docs/errors.md is written from the errors: `python -m tests.docs.test_error_codes` writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from orchestrator import errors
from orchestrator.errors import OrchestratorError
from orchestrator.leases.attempt_result import Abandon, AwaitProvider, Reschedule
from tests.docs.test_pages import ROOT, RUNBOOK
from tests.unit.leases.test_retry_policy import decide, made

PAGE = ROOT / "docs" / "errors.md"
#: Module of `orchestrator.errors` → heading, in the order of the page.
GROUPS = {
    "agents": "Agents and their programs",
    "gates": "Gates and repositories' configuration",
    "git": "Repositories, changes and pushes",
    "budget": "Budget",
    "sandboxes": "Sandboxes",
    "forges": "Code hosts",
    "machine": "Hosts and settings",
    "requests": "Requests and commands",
    "access": "API keys",
    "store": "Valkey",
    "audit": "Audit",
    "tree": "Anything else",
}
#: The errors of these modules end no attempt: a command or a request reports them.
REPORTED = frozenset({"requests", "access", "audit", "forges"})


def kinds(group: str) -> list[type[OrchestratorError]]:
    """Return the errors of one module, by their codes."""
    found = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, OrchestratorError) and kind.__module__.rpartition(".")[2] == group
    }
    return sorted(found, key=lambda kind: (kind.code, kind.__name__))


def retried(kind: type[OrchestratorError]) -> str:
    """Return what the recovery policy does with an agent after this error."""
    # As of an agent with a fallback.
    found = decide(made(kind), choices=2)
    if isinstance(found, AwaitProvider):
        return "waits"
    if isinstance(found, Reschedule) and not found.counts:
        return "requeued"
    # Without Valkey the lease runs out, and then the sweep recovers the agent.
    return "recovery" if isinstance(found, Reschedule | Abandon) else "-"


def entries(code: str) -> Iterator[str]:
    """Return a link to each entry of the runbook that names this code."""
    for page in RUNBOOK:
        for entry in page.read_text("utf-8").split("\n## ")[1:]:
            title, _, text = entry.partition("\n")
            if f"`{code}`" in text:
                anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
                yield f"[{title}]({page.name}#{anchor})"


def rows(group: str) -> Iterator[str]:
    for kind in kinds(group):
        links = ", ".join(entries(kind.code)) or "-"
        meaning = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
        cells = [f"`{kind.code}`", meaning, kind.action or "Read the message.", links]
        if group not in REPORTED:
            cells.insert(3, retried(kind))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def written() -> str:
    """Return the page with the tables of all errors."""
    tables = []
    for group, title in GROUPS.items():
        names = ["code", "meaning", "what to do", "retried", "runbook"]
        if group in REPORTED:
            names.remove("retried")
        head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
        tables.append(f"## {title}\n\n{head}{''.join(rows(group))}")
    block = "<!-- errors -->\n" + "\n".join(tables) + "<!-- /errors -->"
    text = PAGE.read_text("utf-8")
    return re.sub(r"<!-- errors -->.*<!-- /errors -->", lambda _: block, text, flags=re.DOTALL)


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == written(), "python -m tests.docs.test_error_codes"


def test_every_error_is_on_the_page():
    codes = {
        kind.code
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, OrchestratorError)
    }
    tables = PAGE.read_text("utf-8").partition("<!-- errors -->")[2]
    assert codes == set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE))


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
