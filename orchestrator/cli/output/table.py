"""The one renderer of tables: which columns a terminal shows in line, and what it folds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
from rich.cells import cell_len

from orchestrator.cli.output.text import has_colours, is_terminal, one_line, say

_GAP = "  "
_INDENT = " " * 4
#: A column is not narrowed below this: a date with its time fits.
_LEAST_WIDTH = 20
#: The cell of a value that is printed below its row.
_FOLDED = "↓"
_EMPTY = "-"
#: The width of an agent's id.
ID_WIDTH = 36


@dataclass(frozen=True)
class Column:
    """A column, and what happens to it if the terminal is too narrow."""

    name: str
    #: The priority 0 identifies the row, or says that it needs attention: always shown whole in its
    #: place. The higher the number, the earlier the column is narrowed, then folded.
    priority: int = 1
    #: Numbers align to the right.
    is_number: bool = False
    #: On a terminal always below the row, such as a reason or the next command.
    is_below: bool = False
    #: Printed on one line even if the terminal wraps it, such as a command to copy.
    is_copied: bool = False
    #: A column of the priority 0 is narrowed to this many cells before another is folded, so that
    #: one long value does not fold all other columns of the table; None: it is never narrowed.
    least: int | None = None

    @property
    def is_key(self) -> bool:
        """Whether the column is never folded."""
        return self.priority == 0 and not self.is_below


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], styles: Sequence[str] = (), *,
    at: int = 0,
) -> None:  # fmt: skip
    """Print rows of untrusted text; `styles` colours the cell `at` of each row.

    In a pipe every row is one line. On a terminal no cell is cut: what does not fit in line is
    printed below its row with the name of its column.
    """
    if not is_terminal():
        for line in whole_lines(columns, rows):
            say(line)
        return
    width = shutil.get_terminal_size().columns
    for line in table_lines(columns, rows, width, styles=styles, at=at):
        click.echo(line if has_colours() else click.unstyle(line))


def whole_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Render a table for a pipe: every column whole, every row one line."""
    safe = _safe(rows)
    widths = _natural(columns, safe)
    for row in ([column.name for column in columns], *safe):
        padded = map(_pad, columns, row, widths)
        yield _GAP.join(padded).rstrip()


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *,
    styles: Sequence[str] = (), at: int = 0,
) -> Iterator[str]:  # fmt: skip
    """Render a table for a terminal of `width` cells.

    The header is bold; `styles` are colours for the cell `at` of each row.
    """
    safe = _safe(rows)
    widths = _fitted(columns, _natural(columns, safe), width)
    shown = [number for number, fitted in enumerate(widths) if fitted]
    head = [_pad(columns[number], columns[number].name, widths[number]) for number in shown]
    yield click.style(_GAP.join(head).rstrip(), bold=True)
    for position, row in enumerate(safe):
        cells, below = [], []
        for number, (column, cell) in enumerate(zip(columns, row, strict=True)):
            fits = cell_len(cell) <= widths[number]
            if number in shown:
                text = _pad(column, cell if fits else _FOLDED, widths[number])
                is_styled = styles and number == at
                cells.append(click.style(text, fg=styles[position]) if is_styled else text)
            if not fits and cell != _EMPTY:
                below.append((column, cell))
        yield _GAP.join(cells).rstrip()
        yield from _folded(below, width)


def _safe(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[one_line(cell) or _EMPTY for cell in row] for row in rows]


def _natural(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max([cell_len(column.name), *(cell_len(row[number]) for row in rows)])
        for number, column in enumerate(columns)
    ]


def _fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the width of each column in line; 0 for a column that is folded."""
    widths = [0 if column.is_below else one for column, one in zip(columns, natural, strict=True)]

    def surplus() -> int:
        in_line = [one for one in widths if one]
        return sum(in_line) + len(_GAP) * (len(in_line) - 1) - width

    def narrow(number: int, least: int) -> None:
        widths[number] -= max(0, min(widths[number] - least, surplus()))

    by_rank = sorted(
        (number for number, column in enumerate(columns) if not column.is_key),
        key=lambda number: -columns[number].priority,
    )
    for number in by_rank:
        narrow(number, min(widths[number], max(_LEAST_WIDTH, cell_len(columns[number].name))))
    for number, column in enumerate(columns):
        if column.is_key and column.least is not None:
            narrow(number, min(widths[number], column.least))
    for number in by_rank:
        if surplus() > 0:
            widths[number] = 0
    # A column that was folded leaves room for those that were narrowed.
    keys = [number for number, column in enumerate(columns) if column.is_key]
    for number in (*reversed(by_rank), *keys):
        if widths[number]:
            widths[number] += max(0, min(natural[number] - widths[number], -surplus()))
    return widths


def _folded(cells: Sequence[tuple[Column, str]], width: int) -> Iterator[str]:
    """Render the cells below a row: short ones beside each other, long ones wrapped at words."""
    line = ""
    for column, cell in cells:
        text = cell if column.is_below else f"{column.name} {cell}"
        if line and cell_len(line + _GAP + text) <= width and not column.is_below:
            line += _GAP + text
            continue
        if line:
            yield line
        line = _INDENT + text
        if cell_len(line) > width:
            if column.is_copied:
                yield line
            else:
                yield from _wrapped(text, width, 1 if column.is_below else 2)
            line = ""
        elif column.is_below:
            yield line
            line = ""
    if line:
        yield line


def _wrapped(text: str, width: int, least: int) -> Iterator[str]:
    """Wrap one line at words, the first not before `least` words; no word is broken."""
    words = text.split(" ")
    line = _INDENT + " ".join(words[:least])
    for word in words[least:]:
        if cell_len(f"{line} {word}") > width:
            yield line
            line = _INDENT * 2 + word
        else:
            line = f"{line} {word}"
    yield line


def _pad(column: Column, text: str, width: int) -> str:
    spaces = " " * max(0, width - cell_len(text))
    return spaces + text if column.is_number else text + spaces
