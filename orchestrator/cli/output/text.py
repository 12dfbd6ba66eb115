"""Text on its way out: what agents, people and errors say, made safe for a terminal."""

from __future__ import annotations

import re
import sys

import click

#: On a terminal a line ends here (in signs): ten megabytes would scroll everything else away.
LINE_LIMIT = 2000
# Control sequences whole: without its ESC the rest of one would stay as litter. In turn CSI, OSC,
# the other strings (DCS, SOS, PM, APC), and ESC with one sign; C1 controls go with the rest.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    # None of these goes beyond its line: it could hide what comes after.
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"
    r"|\x1b[^\n]?"
)


def plain(text: str) -> str:
    """Take out of untrusted text what a terminal would obey; line breaks and tabs stay.

    Colours, titles, links, bidi and zero-width controls go without a trace.
    """
    if text.isprintable():
        return text
    text = _SEQUENCE.sub("", text)
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


def revealed(text: str) -> str:
    r"""Write what a terminal would obey, or hide, as an escape such as `\x1b`: for reviewers.

    Of code nothing may vanish: a bidi control or a cursor movement could make it read otherwise.
    """
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def one_line(text: str) -> str:
    """Make untrusted text safe and one line, so that it cannot pass for further rows."""
    return " ".join(plain(text).split())


def cut(text: str, width: int) -> str:
    """Shorten each line to a width, and say by how much."""
    return "\n".join(_cut(line, width) for line in text.split("\n"))


def _cut(line: str, width: int) -> str:
    left = len(line) - width
    return line if left <= 0 else f"{line[:width]} … ({left} more signs)"


def is_terminal(*, err: bool = False) -> bool:
    """Return whether somebody looks at this output; FORCE_COLOR and the like do not count."""
    return (sys.stderr if err else sys.stdout).isatty()


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text that may hold anything: safe, whole where it is piped, cut on a terminal.

    The one way of this package to print what is not JSON.
    """
    if is_terminal(err=err):
        # Cut before as well: to clean ten megabytes takes seconds.
        text = cut(plain(cut(text, 10 * LINE_LIMIT)), LINE_LIMIT)
    else:
        text = plain(text)
    click.echo(text, err=err, nl=nl)


def notify(text: str) -> None:
    """Print a word to the person beside the data, on standard error."""
    say(f"orch: {text}", err=True)
