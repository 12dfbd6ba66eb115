"""Makes text of agents, people and errors safe for a terminal, and prints it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

import click

#: The longest line on a terminal (characters): ten megabytes would scroll all else away.
LINE_LIMIT = 2000
# Whole control sequences: without its ESC the rest of one would remain visible. In order: CSI,
# OSC, the other strings (DCS, SOS, PM, APC), ESC with one character; C1 controls are included.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    # No pattern goes beyond its line: it could hide the text after it.
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"
    r"|\x1b[^\n]?"
)


def plain(text: str) -> str:
    """Remove terminal controls from untrusted text; line breaks and tabs remain.

    Colours, titles, links, bidi and zero-width controls are removed without a mark.
    """
    if text.isprintable():
        return text
    text = _SEQUENCE.sub("", text)
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


def revealed(text: str) -> str:
    r"""Write each terminal control or hidden character as an escape such as `\x1b`.

    Reviewers must see all of the code: bidi controls or cursor movements could change its reading.
    """
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def one_line(text: str) -> str:
    """Make untrusted text safe and one line, so that it cannot imitate further rows."""
    return " ".join(plain(text).split())


def cut(text: str, width: int) -> str:
    """Cut each line to a width, and append the number of removed characters."""
    return "\n".join(_cut(line, width) for line in text.split("\n"))


def _cut(line: str, width: int) -> str:
    left = len(line) - width
    return line if left <= 0 else f"{line[:width]} … ({left} more signs)"


def is_terminal(*, err: bool = False) -> bool:
    """Return whether this output is a terminal; FORCE_COLOR and the like do not count."""
    return (sys.stderr if err else sys.stdout).isatty()


def has_colours() -> bool:
    """Return whether the user accepts colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print untrusted text: made safe, complete in a pipe, cut on a terminal.

    All output of this package except JSON goes through this function.
    """
    if is_terminal(err=err):
        # Cut before as well: cleaning ten megabytes takes seconds.
        text = cut(plain(cut(text, 10 * LINE_LIMIT)), LINE_LIMIT)
    else:
        text = plain(text)
    with optional_notices() if err else nullcontext():
        click.echo(text, err=err, nl=nl)


@contextmanager
def optional_notices() -> Iterator[None]:
    """Go on without standard error if it cannot be written: the work and the answer matter more."""
    try:
        yield
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Drop what is left of a stream that failed: Python's own last flush would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def notify(text: str) -> None:
    """Print a message for the user on standard error, besides the data."""
    say(f"orch: {text}", err=True)
