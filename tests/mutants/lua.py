"""The mutants of a Lua script: each guard removed, each part of a condition, each call."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.mutants.mutant import Mutant

_CONDITION = re.compile(r"\b(?:else)?if\b\s+(.+?)\s+then\b")
#: A statement that refuses malformed input, or that writes.
_CALL = re.compile(
    r"^[ ]*((?:check_\w+|object_of|text_of|whole_of|texts_of|refuse_argument|redis\.call"
    r"|stop_waiting|return_reservation|call_waiting|report_status|announce|settle)\(.*\))$"
)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a script."""
    at = 0
    for number, line in enumerate(source.splitlines(keepends=True), start=1):
        code = _blanked(line)
        for found in _CONDITION.finditer(code):
            start, end = found.span(1)
            yield Mutant(path, number, "guard removed", line[start:end], "false", at + start)
            for first, last, after in _operands(code, start, end):
                piece = line[first:last]
                yield Mutant(path, number, "operand left out", piece, after, at + first)
        if call := _CALL.match(code):
            start, end = call.span(1)
            yield Mutant(path, number, "call removed", line[start:end], "", at + start)
        at += len(line)


def _blanked(line: str) -> str:
    """Return a line of the same length without a comment and without the content of strings."""
    code = _QUOTED.sub(lambda found: f"'{'_' * (len(found[0]) - 2)}'", line.rstrip("\n"))
    return code.partition("--")[0].rstrip()


def _operands(code: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield each operand of `and` and `or` with the constant that leaves it out."""
    for word, neutral in (("or", "false"), ("and", "true")):
        pieces = list(_split(code, start, end, word))
        if len(pieces) > 1:
            for first, last in pieces:
                yield first, last, neutral
                yield from _operands(code, first, last)
            return
    inner = re.match(r"(?:not\s+)?\((.*)\)$", code[start:end])
    if inner:
        yield from _operands(code, start + inner.start(1), start + inner.end(1))


def _split(code: str, start: int, end: int, word: str) -> Iterator[tuple[int, int]]:
    depth, first = 0, start
    for at in range(start, end):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(code[at], 0)
        if depth == 0 and code.startswith(f" {word} ", at):
            yield first, at
            first = at + len(word) + 2
    yield first, end
