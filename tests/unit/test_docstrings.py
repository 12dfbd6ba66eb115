"""What the docstrings of all modules promise about their form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.unit.test_house import SOURCES, relative

#: An error that a docstring names, at the beginning of a line below `Raises:`.
_NAMED_ERROR = re.compile(r"[\w.]+(, [\w.]+)*:")


def raises_without_a_name(source: str) -> Iterator[str]:
    """Yield the first line of each `Raises:` section that does not begin with an error's name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _, found, section = (ast.get_docstring(node) or "").partition("Raises:\n")
            line = section.partition("\n")[0].strip()
            if found and not _NAMED_ERROR.match(line):
                yield line


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_docstring_names_the_errors_that_it_lists(path):
    assert not [*raises_without_a_name(path.read_text())]


def test_a_list_of_errors_without_a_name_is_found():
    with_name = 'def f():\n    """Do.\n\n    Raises:\n        {}it fails.\n    """\n'
    assert [*raises_without_a_name(with_name.format(""))] == ["it fails."]
    assert not [*raises_without_a_name(with_name.format("ValueError: "))]
