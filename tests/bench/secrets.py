"""The scanner's table of docs/secrets.md: `python -m tests.bench.secrets [seed ...]`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable

import kingfisher_sdk

from orchestrator.secretscan.engine import find, readings
from tests.doubles.secret_maker import Case
from tests.doubles.secret_set import lookalikes, positives

#: Seeds that no rule was written or tried with.
SEEDS = (201, 202, 203)
Finder = Callable[[bytes], list[bytes]]


def ours(content: bytes) -> list[bytes]:
    """Return what our scanner finds."""
    return [match.secret for text in readings(content) for match in find(text)]


def bare_kingfisher() -> Finder:
    """Return kingfisher as it comes; what it found inside base64 counts as the base64."""
    scanner = kingfisher_sdk.Scanner()

    def found(content: bytes) -> list[bytes]:
        findings = [finding for finding in scanner.scan(content) if finding.visible]
        spans = [finding.location for finding in findings]
        places = [content[span["start_offset"] : span["end_offset"]] for span in spans]
        return places + [finding.secret.encode() for finding in findings]

    return found


def row(name: str, cases: list[Case], finders: list[Finder]) -> str:
    """Return one line of the table: how many cases each finder found."""
    found = [sum(case.is_found(finder(case.content)) for case in cases) for finder in finders]
    shares = (f"{count} ({count / len(cases):.3f})" for count in found)
    return f"| {name} | {len(cases)} | {' | '.join(shares)} |"


def main() -> None:
    """Print the table."""
    seeds = tuple(map(int, sys.argv[1:])) or SEEDS
    finders = [ours, bare_kingfisher()]
    cases = [case for seed in seeds for case in positives(seed)]
    others = [case for seed in seeds for case in lookalikes(seed)]
    print(f"Seeds {', '.join(map(str, seeds))}; {len({(c.group, c.kind) for c in cases})} types.\n")
    print("| group | cases | ours | kingfisher 1.5 alone |\n|---|---|---|---|")
    for group in Counter(case.group for case in cases):
        print(row(group, [case for case in cases if case.group == group], finders))
    print(row("all", cases, finders))
    print(row("of these, set aside", [case for case in cases if case.held_out], finders))
    flagged = [sum(bool(finder(case.content)) for case in others) for finder in finders]
    shares = (f"{count} ({count / len(others):.3f})" for count in flagged)
    print(f"| look-alikes flagged | {len(others)} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
