"""What coverage.py leaves out of a Python file, and a search by lines does not find. Pure."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

#: coverage.py searches the whole text, so that a mark may be of several lines; it accepts any blank
#: and any case.
_PRAGMA = re.compile(r"#\s{0,50}pragma[:\s]?\s{0,50}no\s{0,50}(?:cover|branch)", re.IGNORECASE)
#: The first two lines may name the encoding by which tools read a file.
_CODING = re.compile(r"(?:#.{0,200}\n)?#.{0,200}coding[:=][ \t]{0,20}([\w.-]+)")
#: The encodings in which a comment has the signs that this module reads.
_READABLE = re.compile(
    r"utf[-_]?8([-_]sig)?|(us[-_])?ascii|latin[-_]?1|iso[-_]?8859[-_]\d+|(windows[-_]|cp)125\d",
    re.IGNORECASE,
)
#: A larger file is not parsed; a new one is an exclusion itself, as it may contain any.
_MOST_CHARACTERS = 2**20
_UNREAD = "a file with an ellipsis that is too large or too nested to be parsed"


def new_exclusions(before: str, after: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each exclusion that only the new text has."""
    known = Counter(text for _, text in _exclusions(before))
    for line, text in _exclusions(after):
        if known[text]:
            known[text] -= 1
        else:
            yield line, text


def _exclusions(text: str) -> Iterator[tuple[int, str]]:
    for found in _PRAGMA.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, " ".join(found[0].split())
    coding = _CODING.match(text)
    if coding and not _READABLE.fullmatch(coding[1]):
        yield 1, f"tools read the file as {coding[1]}"
    if "..." in text:
        yield from _ellipses(text)


def _ellipses(text: str) -> Iterator[tuple[int, str]]:
    """Yield each block that begins with an ellipsis: coverage.py leaves out all of its lines."""
    if len(text) > _MOST_CHARACTERS:
        yield 1, _UNREAD
        return
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):
        # The tests cannot import it either.
        return
    except (RecursionError, MemoryError):
        yield 1, _UNREAD
        return
    lines = re.split(r"\r\n|\r|\n", text)
    for node in nodes:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and len(block) > 1 and _is_ellipsis(block[0]):
                yield block[0].lineno, f"... before {lines[block[1].lineno - 1].strip()}"


def _is_ellipsis(statement: ast.AST) -> bool:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
        return False
    return statement.value.value is Ellipsis
