"""Renders two pages and their plots from the results: `python -m tests.bench.page`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.peers.stacks import CELERY, EXPRESS, FASTIFY, OURS
from tests.bench.plots import Bar, draw, shown
from tests.bench.results import FOLDER, ROOT, Figure, Result, read_all
from tests.bench.targets import TARGETS, Target, found

DOCS = ROOT / "docs"
SERVICES = (OURS, FASTIFY, EXPRESS, CELERY)
_HTTP = ("spawn, 1 connection", "spawn, 32 connections")
_READS = ("status, 1 connection", "status, 32 connections")
_GROWTH_PLOT = "performance-growth.svg"
_TARGETS = """
# Performance

This page has the targets, whether the system meets them, and what limits those that are missed.
The services beside which it was measured are at its end, and
[performance-figures.md](performance-figures.md) has all other figures. `make bench` and
`make peers` measure, and render both pages from the results. Do not edit them by hand. No test
asserts a time.
"""
_FIGURES = """
# Performance: figures

This page has all figures that were measured. [performance.md](performance.md) has the targets, and
the comparison with other services. `make bench` and `make peers` render both pages. Do not edit
them by hand.
"""
_READING = """
A figure is the median of its samples, with their range in brackets. A ratio is made pair by pair:
both sides of a pair were measured within seconds of each other. So a busy machine changes figures
more than ratios.
"""
_METHOD = """
## How the services are compared

`make peers` installs the other services at pinned versions. All services run at once, each as one
process on its own database of one Valkey with `appendfsync always`. In each round every service
gets the same requests, and another service begins. A service must answer each spawn with 201, and
as many must be registered in Valkey as were accepted; otherwise the measurement fails.

- **NestJS, BullMQ**: a controller calls `add` of the queue and answers. It validates nothing and
  stores no state, event or budget. The status reads the one key of the job.
- **FastAPI, Celery**: a route calls `send_task` and answers. The status reads the one key of the
  result.
- **ours**: the whole `POST /agents/spawn`: the body is validated, and one script stores state,
  task, request, indexes, reservation, audit draft, event and message.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Render the pages from the results that there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=FOLDER, help="a folder of JSON results")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are written")
    given = parser.parse_args(argv)
    results = read_all(given.results)
    if not results:
        parser.error(f"no results in {given.results}: run `make bench` and `make peers` first")
    plots = dict(plots_of(results))
    (given.docs / "img").mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        (given.docs / "img" / name).write_text(plot, "utf-8")
    (given.docs / "performance.md").write_text(targets_page(results, list(plots)), "utf-8")
    figures = figures_page(results, list(plots))
    (given.docs / "performance-figures.md").write_text(figures, "utf-8")


def targets_page(results: Mapping[str, Result], plots: Sequence[str]) -> str:
    """Return the page of the targets, what limits them, and the comparison of the services."""
    parts = [
        _TARGETS.strip(),
        _READING.strip(),
        _machine(results),
        f"## Targets\n\n{_targets(results)}",
        _missed(results),
        _METHOD.strip(),
    ]
    if "peers" in results:
        parts.append(_services(results["peers"]))
    return "\n\n".join([*parts, *_shown(plot for plot in plots if plot != _GROWTH_PLOT)]) + "\n"


def figures_page(results: Mapping[str, Result], plots: Sequence[str]) -> str:
    """Return the page of all figures, and the plot of those that are not of a service."""
    parts = [_FIGURES.strip(), _READING.strip(), _machine(results)]
    parts += _shown(plot for plot in plots if plot == _GROWTH_PLOT)
    parts += [_figures(results[name]) for name in sorted(results)]
    return "\n\n".join(parts) + "\n"


def _shown(plots: Iterable[str]) -> Iterator[str]:
    for name in plots:
        yield f"![{name.removesuffix('.svg').replace('-', ' ')}](img/{name})"


def plots_of(results: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each plot that has figures."""
    for what, places in (("spawn", _HTTP), ("status", _READS)):
        bars = [
            Bar(f"{service}, {at.partition(', ')[2]}", one, service == OURS)
            for at in places
            for service in SERVICES
            if (one := found(results, ("peers", f"{at}: rate, {service}")))
        ]
        if bars:
            yield f"performance-{what}.svg", draw(f"{what}: answers a second", bars)
    if growth := results.get("growth"):
        bars = [
            Bar(one.name, one, is_ours=True)
            for one in growth.figures
            if not one.name.endswith("longest command")
        ]
        yield _GROWTH_PLOT, draw("reads by known agents", bars, is_logarithmic=True)


def _machine(results: Mapping[str, Result]) -> str:
    newest = max(results.values(), key=lambda result: result.at)
    facts = newest.machine
    versions = {name: text for one in results.values() for name, text in one.versions.items()}
    loads = [float(one.machine["load before"]) for one in results.values()]
    text = (
        f"Measured on {newest.at:%Y-%m-%d}: {facts['system']}, {facts['architecture']},"
        f" {facts['cores']} cores, {facts['memory']} of memory, Python {facts['python']}."
    )
    if max(loads) > float(facts["cores"]) / 2:
        text += (
            f" Before a benchmark the load average was up to {max(loads):.0f}, from other work or"
            " the benchmark before it: times are then longer, and ranges wider."
        )
    listed = ", ".join(f"{name} {text}" for name, text in sorted(versions.items()))
    return f"{_wrapped(text)}\n\n{_wrapped(f'Versions: {listed}.')}"


def _targets(results: Mapping[str, Result]) -> str:
    rows = []
    for target in TARGETS:
        one = target.figure(results)
        result = "not measured" if one is None else "met" if target.is_met(one) else "missed"
        limit = f"{target.sign} {target.limit:g}"
        figures = (found(results, target.ours), found(results, target.peer))
        ours, peer = (shown(figure.median) if figure else "" for figure in figures)
        value = _value(target, one)
        if one is not None and not target.ours[0]:
            ours, value = value, ""
        rows.append((target.topic, target.what, limit, ours, peer, value, result))
    return _table("targets", ("", "what", "target", "ours", "the peer's", "ratio", "result"), rows)


def _value(target: Target, one: Figure | None) -> str:
    if one is None:
        return ""
    if target.sample != "median":
        return shown(target.value(one))
    return _with_range(one)


def _missed(results: Mapping[str, Result]) -> str:
    reasons: dict[str, list[str]] = {}
    for target in TARGETS:
        one = target.figure(results)
        if one is None or not target.is_met(one):
            measured = one is not None or not target.source[0]
            reason = target.reason if measured else f"`{target.source[0]}` has not run"
            reasons.setdefault(reason, []).append(f"{target.topic}: {target.what}")
    if not reasons:
        return "All targets are met."
    lines = ["### What limits a missed target", ""]
    for reason, names in reasons.items():
        text = f"- {reason[:1].upper()}{reason[1:]}: {'; '.join(names)}."
        lines.append(_wrapped(text, indent="  "))
    return "\n".join(lines)


def _services(peers: Result) -> str:
    rows = []
    for at in (*_HTTP, *_READS):
        for service in SERVICES:
            cells = [peers.figure(f"{at}: {one}, {service}") for one in ("rate", "p50", "p99")]
            ratio = peers.figure(f"{at}: rate, ours / {service}")
            shown_cells = [_with_range(one) if one else "" for one in (*cells, ratio)]
            rows.append((at, service, *shown_cells))
    titles = ("requests", "service", "answers a second", "p50, ms", "p99, ms", "ours / it")
    return _table("services", titles, rows)


def _figures(result: Result) -> str:
    title = f"### {result.name.replace('_', ' ')}"
    notes = [_wrapped(f"{note[:1].upper()}{note[1:]}") for note in result.notes]
    if result.name == "growth":
        return "\n\n".join([title, _growth(result), *notes])
    of_services = any(f", {service}" in result.figures[0].name for service in SERVICES)
    figures = [
        one
        for one in (*result.figures, *result.ratios)
        if not of_services or not one.name.startswith(("spawn", "status"))
    ]
    rows = [(one.name, one.unit, _with_range(one), str(len(one.samples))) for one in figures]
    table = _table(result.name.replace("_", " "), ("figure", "unit", "median", "samples"), rows)
    return "\n\n".join([title, *([table] if rows else []), *notes])


def _growth(result: Result) -> str:
    cells: dict[str, dict[str, str]] = {}
    longest = ": longest command"
    for one in result.figures:
        read, _, count = one.name.removesuffix(longest).rpartition(", ")
        row = cells.setdefault(read, {})
        text = shown(one.median)
        row[count] = f"{row[count]} ({text})" if one.name.endswith(longest) else text
    counts = list(next(iter(cells.values())))
    rows = [(read, *(row[count] for count in counts)) for read, row in cells.items()]
    intro = "Each cell has the median in ms, and the longest command of Valkey in it."
    return f"{intro}\n\n{_table('growth', ('read', *counts), rows)}"


def _with_range(one: Figure) -> str:
    if len(one.samples) == 1:
        return shown(one.median)
    return f"{shown(one.median)} ({shown(one.low)} to {shown(one.high)})"


def _table(name: str, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, *rows)]
    lines.insert(1, "|---" * len(titles) + "|")
    return "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    main()
