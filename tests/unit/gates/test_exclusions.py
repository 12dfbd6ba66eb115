"""`orchestrator.gates.exclusions`, and the marks by which a line leaves a check."""

from __future__ import annotations

import pytest

from orchestrator.gates.exclusions import new_exclusions
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange

_DEF = "def f(a):\n    return a\n"


def kinds(path: str, after: str | bytes) -> set[str]:
    content = after if isinstance(after, bytes) else after.encode()
    return {each.kind for each in find_tampering([FileChange(path, b"x", content)], ["pytest"])}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "TYPE_CHECKING: bool = not 0\n"),
        ("a.py", "from x import ON as TYPE_CHECKING\n"),
        ("a.py", "# pyre-ignore-all-errors\n"),
        ("a.py", "x: int = y  # ty: ignore\n"),
        ("a.py", "x: int = y  # pyrefly: ignore\n"),
        ("a.py", "# basedpyright: basic\n"),
        ("a.py", "# pytype: skip-file\n"),
        ("a.py", "run(x)  # nosec\n"),
        ("a.py", "# isort: skip_file\n"),
        ("a.ts", "// biome-ignore lint: later\n"),
        ("a.ts", "/* tslint:disable */\n"),
        ("a.ts", "// oxlint-disable\n"),
        ("src/latest.ts", "// @ts-expect-error\n"),
        ("a.ts", "// deno-lint-ignore-file\n"),
        ("a.js", "/* jshint ignore:start */\n"),
        ("a.js", "// $FlowFixMe\n"),
        ("a.ts", "// @ts-nocheck\n".encode("utf-16")),
        ("a.rs", "#![cfg_attr(all(), allow(warnings))]\n"),
        ("a.rs", "#[coverage(off)]\nfn a() {}\n"),
        ("a.rs", "#[allow(clippy::all)]\nmod a;\n"),
        ("a.go", "// +build ignore\n\npackage a\n"),
    ],
)
def test_a_mark_without_a_code_is_found(path, text):
    assert kinds(path, text) == {"suppression-added"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import x\n"),
        ("a.py", "from typing import TYPE_CHECKING\n"),
        ("a.py", "x: int = y  # ty: ignore[invalid-assignment]\n"),
        ("a.py", "run(x)  # nosec B603\n"),
        ("a.ts", "// biome-ignore lint/style/noVar: a global\n"),
        ("a.ts", "// tslint:disable-next-line:no-console\n"),
        ("a.ts", "// deno-lint-ignore no-explicit-any\n"),
        ("a.test.ts", "// @ts-expect-error\n"),
        ("test/types.ts", "// @ts-expect-error\n"),
        ("index.test-d.ts", "// @ts-expect-error\n"),
        ("a.rs", "#[allow(clippy::too_many_arguments)]\nfn a() {}\n"),
        ("a.go", "//go:build linux\n\npackage a\n"),
        ("a.go", "x := y // #nosec G101\n"),
        ("a.py", "@overload\ndef f(a): ...\n\n\nclass P:\n    def f(self):\n        ...\n"),
        ("a.py", "def f(a):\n    a.b()\n    return a[...]\n"),
        ("a.py", "x = 1\n" * 200_000),
        ("a.py", "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n"),
        ("a.py", "# vim: set fileencoding=latin-1 :\n"),
        ("a.py", "x = 1\n\n# coding: utf-7\n"),
    ],
)  # fmt: skip
def test_an_ordinary_text_is_none(path, text):
    assert kinds(path, text) == set()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny = '''# pragma:\nno cover'''\n", 2),
        ("x = 1\ny = 2  #pragma\x0bNo Cover\n", 2),
        ("#!/bin/python\n# coding=utf_7\n", 1),
        ("def f(a):\n\n    ...  # later\n    # a\n    return a\n", 3),
        (f"def f():\n    ...\n    return {'1 + ' * 2000}1\n", 2),
        (f"def f():\n    ...\n    return {'1 + ' * 50_000}1\n", 1),
        ("def f():\n    ...\n    x = 1\n" + "    x = 1\n" * 200_000, 1),
        ("try:\n    x\nfinally:\n    ...\n    y\n", 4),
    ],
)
def test_an_exclusion_has_its_line_and_is_new_only_once(text, line):
    assert [at for at, _ in new_exclusions(_DEF, text)] == [line]
    assert not list(new_exclusions(text, text + _DEF))


def test_a_text_that_is_no_python_excludes_nothing_by_its_blocks():
    assert not list(new_exclusions("", "def f(:\n    ...\n    x\n"))
