"""The table of the matrix in the documentation: `python -m tests.faults.crashes.table`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.crashes.faults import FAULTS
from tests.faults.crashes.steps import STEPS

DOCUMENT = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- crash matrix -->\n", "<!-- /crash matrix -->\n"


def table() -> str:
    """Render the matrix as the tests hold it."""
    faults = FAULTS.values()
    rows = [
        ["at", *(fault.title for fault in faults)],
        ["---"] * (len(faults) + 1),
        *([step, *(fault.outcome(step) for fault in faults)] for step in STEPS),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def documented() -> str:
    """Return the table that stands in the documentation."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the table into the documentation."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}{table()}{END}{after}")


if __name__ == "__main__":
    main()
