"""The table of the matrix in the documentation: `python -m tests.faults.crashes.table`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.crashes.crash import AGAIN, NEXT, SAME
from tests.faults.crashes.faults import ANY, EITHER, FAULTS, SENT
from tests.faults.crashes.steps import STEPS

DOCUMENT = Path(__file__).parents[3] / "docs" / "crash-matrix.md"
BEGIN, END = "<!-- crash matrix -->\n", "<!-- /crash matrix -->\n"
#: Ten columns fit with short words only; the page explains them.
_SHORT = {
    SAME: "same",
    NEXT: "next",
    AGAIN: "again",
    EITHER: "same/next",
    SENT: "same/again",
    ANY: "same/next/again",
}


def table() -> str:
    """Render the matrix as the tests hold it."""
    rows = [
        ["fault", *STEPS],
        ["---"] * (len(STEPS) + 1),
        *(
            [fault.title, *(_SHORT[fault.outcome(step)] for step in STEPS)]
            for fault in FAULTS.values()
        ),
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
