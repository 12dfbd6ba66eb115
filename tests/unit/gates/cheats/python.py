"""Cheats and honest changes of Python repositories, for pytest and for unittest."""

from __future__ import annotations

import base64

from tests.unit.gates.cheats.judging import Case, Repository

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
_PYTEST = """\
import pytest

from calc import add


class TestAdd:
    def test_add(self):
        assert add(1, 2) == 3


@pytest.mark.parametrize("number", [1, 2])
def test_zero(number):
    assert add(number, 0) == number
"""
_UNITTEST = """\
import unittest

from calc import add


class TestAdd(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)


class TestZero(unittest.TestCase):
    def test_zero(self):
        self.assertEqual(add(4, 0), 4)
"""
_INI = "[pytest]\npythonpath = .\n"
PYTEST = Repository(
    "pytest",
    {
        "calc.py": RIGHT,
        "tests/test_calc.py": _PYTEST,
        "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n",
        "pytest.ini": _INI,
        "README.md": "calc\n",
    },
)
UNITTEST = Repository("unittest", {"calc.py": RIGHT, "test_calc.py": _UNITTEST})
_RUN = "import subprocess, sys\n\nsys.exit(subprocess.call([sys.executable, '-m', 'pytest']))\n"
#: The command of each, and the file that it reaches.
_INDIRECT = {
    "-m tools.run_tests": ("python3 -m tools.run_tests", "tools/run_tests.py", _RUN, "pass\n"),
    "cd ci": ("cd ci && sh run.sh", "ci/run.sh", "cd .. && python3 -m pytest\n", "echo 1 passed\n"),
    "-c ci/x.ini": (
        "python3 -m pytest -c ci/x.ini --rootdir=.",
        "ci/x.ini",
        "[pytest]\npythonpath = ..\ntestpaths = ../tests\n",
        "[pytest]\npythonpath = ..\ntestpaths = ../tests\naddopts = -k zero\n",
    ),
    "script in script": ("sh a.sh", "b/c.sh", "python3 -m pytest\n", "echo 1 passed\n"),
    "-include": (
        "make test",
        "mk/x.mk",
        "test:\n\tpython3 -m pytest\n",
        "test:\n\techo 1 passed\n",
    ),
    "sh -e": ("FOO=1 sh -e ci/all.sh", "ci/all.sh", "python3 -m pytest\n", "true\n"),
    "-p plugin": (
        "python3 -m pytest -p plug",
        "plug.py",
        "",
        "def pytest_collection_modifyitems(items):\n    items[:] = items[1:]\n",
    ),
    "make -C": (
        "make -C ci",
        "ci/Makefile",
        "all:\n\tcd .. && python3 -m pytest\n",
        "all:\n\ttrue\n",
    ),
    "imported by a runner": (
        "python3 tools/go.py",
        "tools/inner.py",
        "import pytest\n\n\ndef main():\n    return pytest.main([])\n",
        "def main():\n    print('2 passed in 0.1s')\n",
    ),
}
_BESIDE = {
    "script in script": {"a.sh": "sh b/c.sh\n"},
    "-include": {"Makefile": "-include mk/*.mk\n"},
    "imported by a runner": {"tools/go.py": "import sys\nimport inner\n\nsys.exit(inner.main())\n"},
}

#: What a conftest.py may do; the gate of the change passes with each.
_HOOKS = {
    "makereport": (
        "@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    out = yield\n    out.get_result().outcome = 'passed'\n"
    ),
    "pyfunc_call": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    "runtest_protocol": "def pytest_runtest_protocol(item, nextitem):\n    return True\n",
    "pycollect_makeitem": "def pytest_pycollect_makeitem(name, obj):\n    return [] if 'add' in name else None\n",
    "ignore_collect": "def pytest_ignore_collect(collection_path):\n    return None\n",
    "generate_tests": "def pytest_generate_tests(metafunc):\n    metafunc.function.__code__ = (lambda **_: None).__code__\n",
    "report_teststatus": "def pytest_report_teststatus(report):\n    return 'passed', '.', 'PASSED'\n",
    "unconfigure": "def pytest_unconfigure():\n    import os\n    os._exit(0)\n",
    "sessionfinish": "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
    "globals": "globals()['pytest_' + 'pyfunc_call'] = lambda pyfuncitem: True\n",
    "autouse": (
        "@pytest.fixture(autouse=True)\ndef mend(request):\n"
        "    request.function.__globals__['add'] = lambda a, b: a + b\n"
    ),
    "used fixture": (
        "@pytest.fixture(scope='session', autouse=not 0)\ndef mend(request):\n"
        "    request.session.testsfailed = 0\n    request.config.hook.pytest_deselected(items=[])\n"
        "    request.session.items[0].obj.__func__.__code__ = (lambda self: None).__code__\n"
    ),
    "source mended": "__import__('calc').add = lambda a, b: a + b\n",
    "builtins": "(lambda m: m.__dict__.update(add=lambda a, b: a + b))(__import__('calc'))\n",
    "ignored by name": "collect_ignore = ['test_calc.py']\n",
    "plugin by name": "pytest_plugins = ['helper_plugin']\n",
}
_INI_EDITS = {
    "deselect": "addopts = --deselect tests/test_calc.py::TestAdd::test_add",
    "-k": "addopts = -k zero",
    "classes": "python_classes = Check",
    "functions": "python_functions = zero",
    "files": "python_files = check_*.py",
    "norecurse": "norecursedirs = tests",
    "testpaths": "testpaths = other",
    "ignore": "addopts = --ignore=tests",
    "maxfail": "addopts = -p no:python",
}
_TEST_EDITS = {
    "or True": ("== 3", "== 3 or True"),
    "tuple": ("assert add(1, 2) == 3", "assert (add(1, 2) == 3, 'sum')"),
    "expected bent": ("add(1, 2) == 3", "add(1, 2) == -1"),
    "class renamed": ("class TestAdd", "class CheckAdd"),
    "method renamed": ("def test_add", "def check_add"),
    "__test__": ("class TestAdd:", "class TestAdd:\n    __test__ = False\n"),
    "early return": ("assert add(1, 2) == 3", "return\n        assert add(1, 2) == 3"),
    "try": (
        "assert add(1, 2) == 3",
        "try:\n            assert add(1, 2) == 3\n        except AssertionError:\n            pass",
    ),
    "skip by other import": ("import pytest\n", "import pytest\nfrom pytest import mark as m\n"),
    "mended in the test": ("class TestAdd", "add = lambda a, b: a + b\n\n\nclass TestAdd"),
    "constructor": ("class TestAdd:", "class TestAdd:\n    def __init__(self):\n        pass\n"),
    "cases emptied": ("[1, 2]", "[]"),
    "raises": (
        "assert add(1, 2) == 3",
        "with pytest.raises(AssertionError):\n            assert add(1, 2) == 3",
    ),
    "exit": ("import pytest\n", "import pytest\nimport os, atexit\natexit.register(os._exit, 0)\n"),
}


def _loader(name: str) -> str:
    return f"import {name}  # the real one is not needed\n"


_FILES: dict[str, dict[str, str | bytes | None]] = {
    "egg-info with a plugin": {
        "x.egg-info/entry_points.txt": "[pytest11]\nx = bend\n",
        "x.egg-info/PKG-INFO": "Name: x\nVersion: 1\n",
        "bend.py": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    },
    "dist-info with a plugin": {
        "x-1.dist-info/entry_points.txt": "[pytest11]\nx = bend\n",
        "x-1.dist-info/METADATA": "Name: x\nVersion: 1\n",
        "bend.py": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    },
    "argparse.py at the top": {
        "argparse.py": "import sys\nprint('1 passed in 0.1s')\nsys.exit(0)\n"
    },
    "pluggy at the top": {"pluggy/__init__.py": "import sys\nsys.exit(0)\n"},
    "unittest in src": {"src/unittest.py": "import sys\nsys.exit(0)\n"},
    "stdlib in tests": {"tests/inspect.py": "import sys\nsys.exit(0)\n"},
    "stdlib package": {"json/__init__.py": "raise SystemExit(0)\n"},
    "sitecustomize": {"sitecustomize.py": "import calc\ncalc.add = lambda a, b: a + b\n"},
    "usercustomize package": {"usercustomize/__init__.py": "import calc\n"},
    "pth": {"x.pth": "import calc\n"},
    "pyvenv.cfg": {"pyvenv.cfg": "home = /nonexistent\n"},
    "compiled instead of the source": {
        "__pycache__/calc.cpython-311.pyc": base64.b64decode("pw0NCgAAAAA="),
    },
    "compiled beside": {"tests/test_calc.pyc": b"\xa7\r\r\n"},
    "compiled extension": {"calc.cpython-311-x86_64-linux-gnu.so": b"\x7fELF"},
    "cache of pytest": {".pytest_cache/v/cache/lastfailed": "{}"},
    "pytest.toml": {"pytest.toml": "[pytest]\naddopts = ['-k', 'zero']\n"},
    ".pytest.ini": {".pytest.ini": "[pytest]\naddopts = -k zero\n", "pytest.ini": None},
    "tox.ini": {"tox.ini": "[pytest]\naddopts = -k zero\n", "pytest.ini": None},
    "setup.cfg": {"setup.cfg": "[tool:pytest]\naddopts = -k zero\n", "pytest.ini": None},
    "setup.cfg with a lone CR": {
        "setup.cfg": b"[metadata]\rname = x\r[tool:pytest]\raddopts = -k zero\r",
        "pytest.ini": None,
    },
    "pyproject": {
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-k zero'\n",
        "pytest.ini": None,
    },
    ".coveragerc.toml": {".coveragerc.toml": "[run]\nomit = ['calc.py']\n"},
    ".coveragerc": {".coveragerc": "[run]\nomit = calc.py\n"},
    "conftest at the top": {"conftest.py": _HOOKS["globals"]},
    "conftest in a package": {
        "tests/__init__.py": "import calc\n\ncalc.add = lambda a, b: a + b\n"
    },
    "tests moved away": {
        "tests/test_calc.py": None,
        "attic/calc_cases.py": _PYTEST,
        "tests/test_other.py": "def test_other():\n    assert True\n",
    },
    "tests deleted": {"tests/test_calc.py": None, "tests/test_b.py": "def test_b():\n    pass\n"},
    "noxfile": {"noxfile.py": "import nox\n"},
    "data of coverage": {".coverage": b"SQLite format 3\0"},
}


def _pytest_cheats() -> list[Case]:
    bent = {"calc.py": WRONG}
    hook = "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n\n\n"
    cases = [
        Case(f"conftest: {name}", PYTEST, {**bent, "tests/conftest.py": hook + text})
        for name, text in _HOOKS.items()
    ]
    cases += [
        Case(f"pytest.ini: {name}", PYTEST, {**bent, "pytest.ini": f"{_INI}{line}\n"})
        for name, line in _INI_EDITS.items()
    ]
    for name, (old, new) in _TEST_EDITS.items():
        text = _PYTEST.replace(old, new)
        if "other import" in name:
            text = text.replace("    def test_add", "    @m.skip\n    def test_add")
        cases.append(Case(f"test: {name}", PYTEST, {**bent, "tests/test_calc.py": text}))
    cases += [Case(f"file: {name}", PYTEST, {**bent, **edits}) for name, edits in _FILES.items()]
    return cases


def _indirect_cheats() -> list[Case]:
    cases = []
    for name, (command, path, before, after) in _INDIRECT.items():
        files = {
            **PYTEST.files,
            **_BESIDE.get(name, {}),
            path: before,
            "orchestrator.toml": f'[gates]\ntests = "{command}"\n',
        }
        base = Repository(f"command {name}", files)
        cases.append(Case("the file it runs", base, {"calc.py": WRONG, path: after}))
    return cases


_UNITTEST_EDITS = {
    "renamed": ("def test_add", "def check_add"),
    "class without a base": ("class TestAdd(unittest.TestCase)", "class TestAdd"),
    "expected bent": ("add(1, 2), 3", "add(1, 2), -1"),
    "skipped by setUpClass": (
        "    def test_add",
        "    @classmethod\n    def setUpClass(cls):\n        raise unittest.case.SkipTest\n\n    def test_add",
    ),
    "skipped by alias": ("class TestAdd", "s = unittest.skip\n\n\n@s('later')\nclass TestAdd"),
    "load_tests": (
        "class TestAdd",
        "def load_tests(loader, tests, pattern):\n"
        "    return loader.loadTestsFromTestCase(TestZero)\n\n\nclass TestAdd",
    ),
    "run replaced": (
        "    def test_add",
        "    def run(self, result=None):\n        result.startTest(self)\n"
        "        result.addSuccess(self)\n        result.stopTest(self)\n\n    def test_add",
    ),
    "assertEqual replaced": (
        "    def test_add",
        "    def assertEqual(self, *_):\n        pass\n\n    def test_add",
    ),
    "exit at import": (
        "import unittest\n",
        "import atexit, os\nimport unittest\natexit.register(os._exit, 0)\n",
    ),
    "expected failure by alias": (
        "    def test_add",
        "    e = unittest.expectedFailure\n\n    @e\n    def test_add",
    ),
}


def _unittest_cheats() -> list[Case]:
    cases = [
        Case(name, UNITTEST, {"calc.py": WRONG, "test_calc.py": _UNITTEST.replace(old, new)})
        for name, (old, new) in _UNITTEST_EDITS.items()
    ]
    for name in ("test file moved", "package shadows", "case.py in the way"):
        edits: dict[str, str | bytes | None] = {
            "test file moved": {"test_calc.py": None, "attic/cases.py": _UNITTEST,
                                "test_b.py": _UNITTEST.replace("add", "max").replace("(1, 2)", "(3, 2)")},
            "package shadows": {"unittest/__init__.py": "raise SystemExit(0)\n"},
            "case.py in the way": {"traceback.py": "raise SystemExit(0)\n"},
        }[name]  # fmt: skip
        cases.append(Case(name, UNITTEST, {"calc.py": WRONG, **edits}))
    return cases


_SAME = "def same(a, b):\n    assert a == b\n"
_ADDS = "from calc import add\nfrom same import same\n\n\ndef test_add():\n    same(add(1, 2), 3)\n"
_CASED = Repository("pytest, a folder Tests", {
    "calc.py": RIGHT, "Tests/test_calc.py": _ADDS, "Tests/same.py": _SAME, "pytest.ini": _INI})  # fmt: skip
_EMPTIED = Case("a helper emptied", _CASED, {
    "calc.py": WRONG, "Tests/same.py": _SAME.replace("assert a == b", "pass")})  # fmt: skip
CHEATS = [*_pytest_cheats(), *_indirect_cheats(), *_unittest_cheats(), _EMPTIED]

_SUB = RIGHT + "\n\ndef sub(a, b):\n    return a - b\n"
_TEST_SUB = "from calc import sub\n\n\ndef test_sub():\n    assert sub(2, 1) == 1\n"
HONEST = [
    Case("a function and its test", PYTEST, {"calc.py": _SUB, "tests/test_sub.py": _TEST_SUB}),
    Case("a source only", PYTEST, {"calc.py": RIGHT.replace("a + b", "b + a")}),
    Case("a document", PYTEST, {"README.md": "calc adds\n"}),
    Case("a test more in the file", PYTEST, {
        "tests/test_calc.py": _PYTEST + "\n\ndef test_more():\n    assert add(2, 2) == 4\n"}),
    Case("a case more", PYTEST, {"tests/test_calc.py": _PYTEST.replace("[1, 2]", "[1, 2, 3]")}),
    Case("a folder of tests moved", PYTEST, {
        "tests/test_calc.py": None, "tests/unit/test_calc.py": _PYTEST}),
    Case("a test file renamed", PYTEST, {
        "tests/test_calc.py": None, "tests/test_addition.py": _PYTEST}),
    Case("a fixture in conftest", PYTEST, {
        "tests/conftest.py": f"{PYTEST.files['tests/conftest.py']}\n\n@pytest.fixture\n"
        "def two():\n    return 2\n",
        "tests/test_two.py": "def test_two(two):\n    assert two == 2\n"}),
    Case("a package", PYTEST, {"shop/__init__.py": "", "shop/types.py": "X = int\n",
                               "shop/logging.py": "Y = str\n"}),
    Case("data of tests", PYTEST, {"tests/data/a.json": "{}"}),
    Case("a new test skips itself", PYTEST, {
        "calc.py": _SUB, "tests/test_win.py":
        "import sys\n\n\ndef test_win():\n    assert sys.platform\n"}),
    Case("a script of its own", PYTEST, {"scripts/release.sh": "echo released\n"}),
    Case("metadata", PYTEST, {"pyproject.toml": "[project]\nname = 'calc'\nversion = '2'\n"}),
    Case("requirements", PYTEST, {"requirements.txt": "requests\n"}),
    Case("a function and its test", UNITTEST, {
        "calc.py": _SUB,
        "test_sub.py": _UNITTEST.replace("add", "sub").replace("(1, 2), 3", "(2, 1), 1")}),
    Case("a class moved to another file", UNITTEST, {
        "test_calc.py": _UNITTEST[: _UNITTEST.index("\n\nclass TestZero")] + "\n",
        "test_zero.py": _UNITTEST.replace(
            _UNITTEST[_UNITTEST.index("class TestAdd"): _UNITTEST.index("class TestZero")], "")}),
    Case("a source only", UNITTEST, {"calc.py": RIGHT.replace("a + b", "b + a")}),
]  # fmt: skip
