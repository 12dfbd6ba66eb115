"""The mutants of a Python module: each guard removed, each part of a condition, each bare call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from tests.mutants.mutant import Mutant

#: Calls whose lack changes nothing that a test could see.
_TALK = ("log.", "print(")


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a module."""
    lines = source.encode().splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))

    def made(node: ast.expr, kind: str, after: str) -> Mutant:
        first = offsets[node.lineno - 1] + node.col_offset
        last = offsets[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        encoded = source.encode()
        before = encoded[first:last].decode()
        return Mutant(path, node.lineno, kind, before, after, len(encoded[:first].decode()))

    for node in ast.walk(ast.parse(source)):
        for piece, kind, after in _faults(node):
            yield made(piece, kind, after)


def _faults(node: ast.AST) -> Iterator[tuple[ast.expr, str, str]]:
    """Yield the pieces of a node, what is done to each, and the text in its place."""
    if isinstance(node, ast.If | ast.IfExp) and not _is_type_checking(node.test):
        yield node.test, "guard removed", "False"
    elif isinstance(node, ast.BoolOp):
        neutral = "True" if isinstance(node.op, ast.And) else "False"
        yield from ((operand, "operand left out", neutral) for operand in node.values)
    elif isinstance(node, ast.comprehension):
        yield from ((test, "guard removed", "True") for test in node.ifs)
    elif _is_bare_call(node):
        yield node.value, "call removed", "None"


def _is_bare_call(node: ast.AST) -> TypeGuard[ast.Expr]:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call and not ast.unparse(node).startswith(_TALK)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
