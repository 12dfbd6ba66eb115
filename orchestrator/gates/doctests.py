"""The examples of doctest that a change removes or gives another result. Pure."""

from __future__ import annotations

import ast
import doctest
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from orchestrator.interfaces.gate import FileChange

#: A longer text is not read to its end.
_MOST_BYTES = 2**20


def lost_examples(
    changes: Sequence[FileChange], tested: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the path and the source of each example of the base that is gone.

    `tested` are the files in which a runner has found tests. An example in another file of the
    change counts as moved. The base's tests cannot check such a change: its sources contain them.
    """
    kept = Counter(example for change in changes for example in _examples(change, change.after))
    for change in changes:
        if change.path in tested:
            for example in _examples(change, change.before):
                if kept[example]:
                    kept[example] -= 1
                else:
                    yield change.path, " ".join(example[0].split())


def _examples(change: FileChange, content: bytes | None) -> list[tuple[str, str]]:
    text = (content or b"")[:_MOST_BYTES].decode(errors="replace")
    if ">>>" not in text:
        return []
    parser = doctest.DocTestParser()
    try:
        texts = _docstrings(text) if change.path.endswith(".py") else [text]
        return [(each.source, each.want) for one in texts for each in parser.get_examples(one)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The runner reports the fault.
        return []


def _docstrings(text: str) -> list[str]:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, holders)]
    return [each for node in nodes if (each := ast.get_docstring(node, clean=False))]
