"""The recap as tables for a terminal, and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from html import escape

from orchestrator.cli.output.table import ID_WIDTH, Column
from orchestrator.cli.output.text import one_line
from orchestrator.models import iso_instant
from orchestrator.models.recap import Recap

Table = tuple[str, Sequence[Column], Sequence[Sequence[str]]]

_AGENT = Column("AGENT", 0, least=ID_WIDTH)
_DELIVERED = (
    _AGENT,
    Column("TASK", 2),
    Column("REPOSITORY", 3),
    Column("BRANCH", 1),
    Column("COMMIT", 1),
    Column("ROUNDS", 4, is_number=True),
    Column("TOKENS", 2, is_number=True),
)
_FAILURES = (Column("CODE", 0), Column("AGENTS", 0, is_number=True))
_REPOSITORIES = (
    Column("REPOSITORY", 0),
    Column("AGENTS", 1, is_number=True),
    Column("DELIVERED", 1, is_number=True),
    Column("TOKENS", 1, is_number=True),
    Column("PER DELIVERY", 2, is_number=True),
    Column("COST USD", 3, is_number=True),
)
_WAITS = (_AGENT, Column("WAITED", 0, is_number=True), Column("TASK", 1), Column("STATE", 2))
_KILLS = (_AGENT, Column("CONFIRMED", 0), Column("BY", 1), Column("WHY", 2), Column("PROOF", 3))
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}"
    "th,td{border-bottom:1px solid #8886;padding:.3rem .6rem;text-align:left}"
    "td.n,th.n{text-align:right}:root{color-scheme:light dark}h2{font-size:1.1rem}"
)


def recap_tables(recap: Recap) -> Iterator[Table]:
    """Yield each part of a recap: its title, its columns, and its rows."""
    least = "at least " if recap.need_attention_is_least else ""
    cost = "" if recap.cost_usd is None else f", {recap.cost_usd:.2f} USD"
    head = (
        f"{iso_instant(recap.since)} to {iso_instant(recap.until)}: {recap.ended} agents ended,"
        f" {recap.active} have not; {recap.tokens} tokens{cost};"
        f" {least}{recap.need_attention} need attention"
    )
    yield head, (), ()
    failed = sum(recap.failures.values())
    codes = [(code, str(count)) for code, count in recap.failures.items()]
    yield f"Failed: {failed}, of which the gates rejected {recap.rejected}", _FAILURES, codes
    kills = [
        (one.agent_id, "yes" if one.confirmed else "no", one.by, one.why, one.proof)
        for one in recap.kills
    ]
    confirmed = sum(one.confirmed for one in recap.kills)
    yield f"Killed: {len(kills)}, {confirmed} confirmed", _KILLS, kills
    repositories = [
        (
            *(one.repository, str(one.agents), str(one.delivered), str(one.tokens)),
            "-" if one.tokens_per_delivery is None else str(one.tokens_per_delivery),
            "-" if one.cost_usd is None else f"{one.cost_usd:.2f}",
        )
        for one in recap.repositories
    ]
    yield "Spent by repository", _REPOSITORIES, repositories
    waits = [
        (
            one.agent_id,
            str(timedelta(seconds=one.waited_s)),
            one.task_id,
            f"not started: {one.waiting_for or 'in the queue'}" if one.is_unstarted else "started",
        )
        for one in recap.slowest_waits
    ]
    yield "Longest waits for the first start", _WAITS, waits
    rows = [
        (
            *(one.agent_id, one.task_id, one.repository, one.branch, one.commit[:12]),
            *(str(one.rounds), str(one.tokens)),
        )
        for one in recap.delivered
    ]
    unchanged = f", {recap.unchanged} completed without a change" if recap.unchanged else ""
    yield f"Delivered: {len(rows)}{unchanged}", _DELIVERED, rows


def recap_page(recap: Recap) -> str:
    """Return a recap as one page without scripts and without addresses; all text is escaped."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Recap</title><style>{_STYLE}</style></head><body><h1>Recap</h1>",
    ]
    for title, columns, rows in recap_tables(recap):
        parts.append(f"<h2>{_safe(title)}</h2>" if columns else f"<p>{_safe(title)}</p>")
        if rows:
            head = "".join(_cell("th", column, column.name) for column in columns)
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for row in rows:
                cells = (_cell("td", *pair) for pair in zip(columns, row, strict=True))
                parts.append(f"<tr>{''.join(cells)}</tr>")
            parts.append("</tbody></table>")
    return "\n".join([*parts, "</body></html>"])


def _cell(tag: str, column: Column, text: str) -> str:
    numeric = ' class="n"' if column.is_number else ""
    return f"<{tag}{numeric}>{_safe(text)}</{tag}>"


def _safe(text: str) -> str:
    return escape(one_line(text))
