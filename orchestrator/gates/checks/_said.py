"""The output of a tool as plain text, and the few lines of it that name the fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: The maximum length of a quote in a gate result.
QUOTED_CHARACTERS = 2000
_LINE_CHARACTERS = 400
_TAIL_LINES = 20
#: The numbers of names and of reasons that come before all further ones.
_FIRST_NAMES, _FIRST_REASONS = 12, 8
#: The number of places that are quoted from each end of the traces.
_PLACES_OF_AN_END = 3

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")

#: Lines that name what failed.
_NAMES = re.compile(
    r"""
      (?:FAILED|ERROR)\s\S                         # pytest's summary
    | (?:FAIL|ERROR):\s                            # unittest
    | \S[^:]*:\d+(?::\d+)?:\s(?!note|warning)      # path:line: mypy, ruff, flake8, go, gcc
    | \s*\S+:\d+:\d+\ -\ error:                    # pyright
    | \S+\(\d+,\d+\):\s(?:error|warning)           # tsc
    | \s+\d+:\d+\s+error\s                         # eslint
    | [A-Z]+\d+\s(?:\[\*\]\s)?\S                   # ruff's full form
    | \s*(?:--- FAIL|FAIL\s|panic:)                # go, jest, vitest
    | \s*(?:not\ ok\s|✖\s\S|×\s|✗\s|●\s)           # node --test, mocha, vitest, jest
    | (?:error|Error)(?:\[E\d+\])?:\s              # cargo and many more
    | test\s.*\.\.\.\sFAILED
    | Coverage\ failure:
    """,
    re.VERBOSE,
)
#: Lines that give the reason.
_REASONS = re.compile(
    r"""
      E\s{2,}\S                                    # pytest
    | (?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?::|$)
    | \s+-->\s                                     # ruff, cargo
    | thread\s.*panicked
    | \s+(?:Expected|Received|expected|actual|error):\s?
    | make(?:\[\d+\])?:\s\*\*\*
    """,
    re.VERBOSE,
)

#: Lines of a trace of a stack, and the place of an error of Node that nothing catches.
_PLACES = re.compile(
    r"\s+at\s(?:.*\()?\S+:\d+:\d+\)?$|(?:file://)?/\S+:\d+$|\s+File\s\"[^\"]+\",\sline\s\d+"
)
#: Places outside the repository, which a trace of its stack passes through.
_FOREIGN = re.compile(
    r"(?:site|dist)-packages/|/lib/python\d[\d.]*/|\bnode_modules/|\bnode:internal/|<frozen "
)


def plain_lines(*outputs: bytes, whole: bool = False) -> tuple[str, ...]:
    """Return the lines of some outputs, without escapes and unprintable characters.

    Long lines are cut, unless the lines are `whole`.
    """
    return tuple(_plain(line, whole=whole) for output in outputs for line in _lines(output))


def names_failure(line: str) -> bool:
    """Return whether a line of output says what failed."""
    return _NAMES.match(line) is not None


def gives_reason(line: str) -> bool:
    """Return whether a line of output says why something failed."""
    return _REASONS.match(line) is not None


def _lines(output: bytes) -> list[str]:
    return output.decode(errors="replace").splitlines()


def _plain(line: str, *, whole: bool) -> str:
    if "\x1b" in line:
        line = _ESCAPES.sub("", line)
    if len(line) > _LINE_CHARACTERS and not whole:
        line = f"{line[:_LINE_CHARACTERS]}…"
    if not line.isprintable():
        line = "".join(sign for sign in line.replace("\t", "    ") if sign.isprintable())
    return line.rstrip()


def quote(headline: str, lines: Sequence[str]) -> str:
    """Return a headline, then what failed and why, or the end of the output if no line says it.

    A trace of many frames in other people's code leaves room for the lines about the repository.
    """
    spoken = [line for line in lines if line]
    own = [line for line in spoken if not _FOREIGN.search(line)]
    names = [line for line in own if _NAMES.match(line)]
    reasons = [line for line in lines if _REASONS.match(line)]
    first = [*names[:_FIRST_NAMES], *reasons[:_FIRST_REASONS]]
    places = [line for line in own if _PLACES.match(line)] if names or reasons else []
    # The place of the fault is the first one in JavaScript, and the last one in Python.
    first += [*places[:_PLACES_OF_AN_END], *places[-_PLACES_OF_AN_END:]]
    # What failed in other people's code comes last.
    found = dict.fromkeys([*first, *names, *reasons, *filter(_NAMES.match, lines)])
    return capped([headline, *(found or (own or spoken)[-_TAIL_LINES:])])


def capped(lines: Iterable[str]) -> str:
    """Join lines up to the maximum length of a quote."""
    text = "\n".join(line for line in lines if line)
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 1]}…"
