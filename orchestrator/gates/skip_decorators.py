"""The added lines that look like a skip, but take no test of the base out of a run. Pure."""

from __future__ import annotations

import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.gates.deleted_tests import TEST_PATH, test_names
from orchestrator.interfaces.gate import FileChange

#: The skip has a condition, so the test runs somewhere.
_CONDITIONAL = re.compile(r"[\w.]*\b(skipif|skipIf|skipUnless)\((?!\))")
#: A larger file is not read: its skips are findings.
_MOST_BYTES = 2**20
_SPACE = frozenset({tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT})


@dataclass(frozen=True)
class _Decorator:
    """One decorator of a function or a class."""

    #: The names of the classes around the function, and its own.
    owner: tuple[str, ...]
    is_function: bool
    #: The decorator as a formatter cannot change it.
    text: str
    lines: range


class SkipDecorators:
    """The decorators that skip tests, in the Python files of a change."""

    def __init__(self, changes: Sequence[FileChange]) -> None:
        """Compare with the tests that these changes find in the base."""
        self._changes = changes

    @cached_property
    def _base_tests(self) -> frozenset[str]:
        paths = (each for each in self._changes if TEST_PATH.search(each.path))
        return frozenset(name for each in paths for name in test_names(each.path, each.before))

    def harmless(self, change: FileChange) -> frozenset[int]:
        """Return the lines of the decorators that skip no test that ran before.

        The decorators of a new test, if they have a condition and nothing else names the test; and
        those that the same test had before, in whatever format. A test with the name of a test of
        the base is not new.
        """
        if not change.path.endswith(".py"):
            return frozenset()
        after = _text(change.after)
        decorators = list(_decorated(after))
        before = Counter(
            (decorator.owner, decorator.text) for decorator in _decorated(_text(change.before))
        )
        now = Counter((decorator.owner, decorator.text) for decorator in decorators)
        words = Counter(re.findall(r"\w+", after)) if decorators else Counter()
        return frozenset(
            line
            for decorator in decorators
            if 0 < now[decorator.owner, decorator.text] <= before[decorator.owner, decorator.text]
            or self._is_of_new_test(decorator, words)
            for line in decorator.lines
        )

    def _is_of_new_test(self, decorator: _Decorator, words: Counter[str]) -> bool:
        name = decorator.owner[-1]
        return (
            decorator.is_function
            and name.startswith("test")
            and name not in self._base_tests
            and _CONDITIONAL.match(decorator.text) is not None
            # Another name for it could be that of a test of the base.
            and words[name] == 1
        )


def _text(content: bytes | None) -> str:
    return (content or b"")[: _MOST_BYTES + 1].decode(errors="replace")


def _decorated(text: str) -> Iterator[_Decorator]:
    """Yield the decorators of a Python file; none of a file that is too large or malformed."""
    if len(text) > _MOST_BYTES:
        return
    try:
        yield from list(_decorators(text))
    except (tokenize.TokenError, SyntaxError):
        return


def _decorators(text: str) -> Iterator[_Decorator]:
    classes: list[tuple[int, str]] = []
    waiting: list[tuple[str, range]] = []
    for line in _logical_lines(text):
        words = [token.string for token in line if token.type not in _SPACE]
        column = next(token.start[1] for token in line if token.type not in _SPACE)
        while classes and classes[-1][0] >= column:
            classes.pop()
        if words[0] == "@":
            rows = range(line[0].start[0], line[-1].end[0] + 1)
            waiting.append((_normal(words[1:]), rows))
            continue
        words = words[1:] if words[0] == "async" else words
        if words[0] in ("def", "class") and len(words) > 1:
            owner = (*(name for _, name in classes), words[1])
            for decorator, rows in waiting:
                yield _Decorator(owner, words[0] == "def", decorator, rows)
            classes.append((column, words[1]))
        waiting.clear()


def _logical_lines(text: str) -> Iterator[list[tokenize.TokenInfo]]:
    line: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(each.type not in _SPACE for each in line):
                yield line
            line = []
        elif token.type not in _SPACE:
            line.append(token)


def _normal(words: Sequence[str]) -> str:
    """Return the words of a decorator without what a formatter adds: commas, and other quotes."""
    kept = [
        word
        for word, after in zip(words, [*words[1:], ""], strict=True)
        if word and not (word == "," and after in (")", "]", "}"))
    ]
    return "".join(_quoted(word) for word in kept)


def _quoted(word: str) -> str:
    is_plain = len(word) > 1 and word[0] == word[-1] == "'" and '"' not in word
    return f'"{word[1:-1]}"' if is_plain and "\\" not in word else word
