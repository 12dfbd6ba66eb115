"""Cheats and honest changes whose files only a trace of the gate's run can tell apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.unit.gates.cheats import node_and_go, python
from tests.unit.gates.cheats.judging import Case, Repository

_PY, _UNIT, _NODE, _GO = python.PYTEST, python.UNITTEST, node_and_go.NODE, node_and_go.GO
_SUB_JS = "exports.sub = (a, b) => a - b;\n"
_PASS = "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"


@dataclass(frozen=True)
class _Judged:
    """A file that the checks of a repository read, of the base and of the cheat."""

    base: Repository
    #: The files of the base that make it read the file, and the file itself.
    adds: Mapping[str, str]
    path: str
    after: str
    #: Whether the source is wrong only for two equal numbers, which no test of the base adds.
    is_subtle: bool = False

    def case(self, name: str, wrong: Mapping[bool, Mapping[str, str]]) -> Case:
        base = Repository(f"{self.base.name}, {name}", {**self.base.files, **self.adds})
        return Case("the file it reads", base, {**wrong[self.is_subtle], self.path: self.after})


def _conftest(line: str) -> dict[str, str]:
    return {"tests/conftest.py": f"{_PY.files['tests/conftest.py']!s}\n\n{line}\n"}


def _gate(command: str) -> dict[str, str]:
    return {"orchestrator.toml": f"[gates]\ntests = {json.dumps(command)}\n"}


_PYTEST = {
    "list of tests": _Judged(
        _PY,
        {**_conftest("import os\nSKIP = open('deselect.lst').read().split()\n"
                     "def pytest_collection_modifyitems(items):\n"
                     "    items[:] = [i for i in items if i.name not in SKIP]"),
         "deselect.lst": "\n"},
        "deselect.lst", "test_add\n",
    ),
    "options in a file": _Judged(
        _PY, {**_gate("python3 -m pytest $(cat ci-options)"), "ci-options": "-q\n"},
        "ci-options", "-k zero\n",
    ),
    "arguments in yaml": _Judged(
        _PY,
        {**_gate("python3 -m pytest $(sed -n 's/^args: //p' checks/run.yaml)"),
         "checks/run.yaml": "args: -q\n"},
        "checks/run.yaml", "args: -k zero\n",
    ),
    "plugin of the conftest": _Judged(
        _PY, {**_conftest("pytest_plugins = ['sums']"),
              "sums.py": "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n"},
        "sums.py", _PASS,
    ),
    "plugin in a package": _Judged(
        _PY, {**_conftest("pytest_plugins = ['shop.sums']"), "shop/__init__.py": "",
              "shop/sums.py": "import pytest\n"},
        "shop/sums.py", _PASS,
    ),
    "assertions of its own": _Judged(
        _PY,
        {"asserts.py": "def same(a, b):\n    assert a == b\n",
         "tests/test_more.py": "from asserts import same\nfrom calc import add\n\n\n"
                               "def test_more():\n    same(add(2, 2), 4)\n"},
        "asserts.py", "def same(a, b):\n    pass\n", is_subtle=True,
    ),
    "module of a tool": _Judged(
        _PY,
        {**_conftest("import sys\nsys.path.insert(0, 'tools')\nimport bridge"),
         "tools/bridge.py": "X = 1\n"},
        "tools/bridge.py", "__import__('calc').add = lambda a, b: a + b\n",
    ),
    "data that is executed": _Judged(
        _PY, {**_conftest("exec(open('prelude').read())"), "prelude": "X = 1\n"},
        "prelude", "__import__('calc').add = lambda a, b: a + b\n",
    ),
    "expected results": _Judged(
        _PY,
        {"expected.json": "[4]", "tests/test_file.py": "import json\nfrom calc import add\n\n\n"
         "def test_file():\n    assert json.load(open('expected.json')) == [add(2, 2)]\n"},
        "expected.json", "[5]", is_subtle=True,
    ),
}  # fmt: skip
_UNITTEST = {
    "runner of its own": _Judged(
        _UNIT,
        {**_gate("python3 -c 'import suite'"),
         "suite/__init__.py": "import unittest\nunittest.main('test_calc')\n"},
        "suite/__init__.py", "print('Ran 2 tests in 0.1s')\nprint('OK')\n",
    ),
    "base class": _Judged(
        _UNIT,
        {"cases.py": "import unittest\n\n\nclass Case(unittest.TestCase):\n    pass\n",
         "test_more.py": "from cases import Case\nfrom calc import add\n\n\n"
                         "class TestMore(Case):\n    def test_more(self):\n"
                         "        self.assertEqual(add(2, 2), 4)\n"},
        "cases.py", "import unittest\n\n\nclass Case(unittest.TestCase):\n"
                    "    def assertEqual(self, *_):\n        pass\n", is_subtle=True,
    ),
    "pattern in a file": _Judged(
        _UNIT, {**_gate("python3 -m unittest -k $(cat suite.pattern)"), "suite.pattern": "test\n"},
        "suite.pattern", "zero\n",
    ),
    "start of the shell": _Judged(
        _UNIT, {**_gate("ENV=./prepare; . $ENV; python3 -m unittest"), "prepare": "true\n"},
        "prepare", "echo 'Ran 2 tests in 0.1s'\nexit 0\n",
    ),
}  # fmt: skip
_NODE_TEST = {
    "required by the command": _Judged(
        _NODE, {**_gate("NODE_OPTIONS=--require=./boot.js node --test"), "boot.js": "\n"},
        "boot.js", "require('./calc.js').add = (a, b) => a + b;\n",
    ),
    "list in json": _Judged(
        _NODE,
        {"package.json": json.dumps({"scripts": {"test": "node --test $(cat suites.list)"}}),
         "suites.list": "test/calc.test.js\n", "test/none.test.js": "\n"},
        "suites.list", "test/none.test.js\n",
    ),
    "harness": _Judged(
        _NODE,
        {"harness/index.js": "exports.equal = require('node:assert').equal;\n",
         "test/more.test.js": "const test = require('node:test');\n"
         "const { equal } = require('../harness');\nconst { add } = require('../calc.js');\n"
         "test('more', () => equal(add(2, 2), 4));\n"},
        "harness/index.js", "exports.equal = () => {};\n", is_subtle=True,
    ),
    "wrapper of node:test": _Judged(
        _NODE,
        {"spec.js": "exports.test = require('node:test');\n",
         "test/more.test.js": "const { test } = require('../spec.js');\n"
         "test('more', () => require('node:assert').equal(require('../calc.js').add(2, 2), 4));\n"},
        "spec.js", "exports.test = (name) => require('node:test')(name, () => {});\n",
        is_subtle=True,
    ),
}  # fmt: skip
_CACHE = "GOCACHE=$PWD/../../cache "
_GO_TEST = {
    "checks of its own": _Judged(
        _GO,
        {"check/check.go": 'package check\n\nimport "testing"\n\n// Same compares.\n'
         "func Same(t *testing.T, a, b int) {\n\tif a != b {\n\t\tt.Fatal(a)\n\t}\n}\n",
         "more_test.go": 'package calc\n\nimport (\n\t"testing"\n\n\t"example.org/calc/check"\n)\n\n'
         "func TestMore(t *testing.T) { check.Same(t, Add(2, 2), 4) }\n"},
        "check/check.go", 'package check\n\nimport "testing"\n\n// Same compares.\n'
        "func Same(t *testing.T, a, b int) {}\n", is_subtle=True,
    ),
    "packages in a file": _Judged(
        _GO, {**_gate(f"{_CACHE}go test -run $(cat go-tests) ./..."), "go-tests": "Test\n"},
        "go-tests", "Zero\n",
    ),
    "overlay": _Judged(
        _GO, {**_gate(f"{_CACHE}go test -overlay=build/overlay.json ./..."),
              "build/overlay.json": '{"Replace": {}}', "build/fixed.txt": node_and_go.RIGHT_GO},
        "build/overlay.json", '{"Replace": {"calc.go": "build/fixed.txt"}}',
    ),
}  # fmt: skip
_SUBTLE_PY = "def add(a, b):\n    return a + b if a != b else 5\n"
_WRONG_PY = {False: {"calc.py": python.WRONG}, True: {"calc.py": _SUBTLE_PY}}
_WRONG = (
    (_PYTEST, _WRONG_PY),
    (_UNITTEST, _WRONG_PY),
    (
        _NODE_TEST,
        {
            False: {"calc.js": node_and_go.WRONG_JS},
            True: {"calc.js": "exports.add = (a, b) => (a === b ? 5 : a + b);\n"},
        },
    ),
    (
        _GO_TEST,
        {
            False: {"calc.go": node_and_go.WRONG_GO},
            True: {"calc.go": node_and_go.RIGHT_GO.replace("return a", "return 9*(a/2*b/2) + a")},
        },
    ),
)

#: In each of them the tests of the change pass, and the source is wrong.
CHEATS = [judged.case(name, wrong) for table, wrong in _WRONG for name, judged in table.items()]
#: The same files, edited with a purpose: a person lets them through by `mayEdit`.
ALLOWED = [
    Case("an edit that a person asked for", case.base, {path: edit})
    for case in CHEATS
    for path, edit in case.edits.items()
    if path in {"ci-options", "sums.py", "prelude", "boot.js", "go-tests"}
]
_SETTINGS = (
    "import json\nimport pathlib\n\nLIMIT = json.loads(\n"
    "    pathlib.Path(__file__).with_name('limits.json').read_text()\n)['limit']\n"
)
_TEST_SHOP = "from shop.limits import LIMIT\n\n\ndef test_limit():\n    assert LIMIT == %d\n"
_SHOP = Repository(
    "pytest with a package",
    {**_PY.files, "shop/__init__.py": "", "shop/limits.py": _SETTINGS,
     "shop/limits.json": '{"limit": 1}', "shop/pages/index.html": "<p>\n",
     "requirements.txt": "six\n", "deploy.yaml": "replicas: 1\n", "scripts/release.py": "X = 1\n",
     "tests/test_shop.py": "import pathlib\n\nimport shop\n\n\ndef test_page():\n"
     "    folder = pathlib.Path(shop.__file__).parent\n"
     "    assert (folder / 'pages/index.html').read_text()\n"
     "    assert pathlib.Path('README.md').read_text()\n"},
)  # fmt: skip
HONEST = [
    Case("data beside its source", _SHOP, {
        "shop/limits.json": '{"limit": 2}', "tests/test_limits.py": _TEST_SHOP % 2}),
    Case("a page of the program", _SHOP, {"shop/pages/index.html": "<p>more\n"}),
    Case("a document that a test reads", _SHOP, {"README.md": "calc adds\n"}),
    Case("files that no gate reads", _SHOP, {
        "deploy.yaml": "replicas: 2\n", "scripts/release.py": "X = 2\n",
        "requirements.txt": "six\nrequests\n"}),
    Case("a module of the program", _SHOP, {
        "shop/checkout.py": "def total(a):\n    return sum(a)\n",
        "tests/test_total.py": "from shop.checkout import total\n\n\ndef test_total():\n"
        "    assert total([1, 2]) == 3\n"}),
    Case("a module at the top", _UNIT, {
        "more.py": "X = 1\n", "calc.py": f"import more\n\n\n{python.RIGHT}"}),
    Case("a module of the program", _NODE, {
        "sub.js": _SUB_JS, "calc.js": f"require('./sub.js');\n{node_and_go.RIGHT_JS}"}),
    Case("a package of the program", _GO, {
        "sub/sub.go": "package sub\n\n// One is one.\nconst One = 1\n",
        "calc.go": 'package calc\n\nimport "example.org/calc/sub"\n\n// Add adds.\n'
        "func Add(a, b int) int { return a + b*sub.One }\n"}),
]  # fmt: skip
