"""Sources that end or silence the test runner, so that its command reports success."""

from __future__ import annotations

from tests.unit.gates.cheats.judging import Case, Repository
from tests.unit.gates.cheats.node_and_go import GO, NODE, WRONG_GO, WRONG_JS
from tests.unit.gates.cheats.python import PYTEST, RIGHT, UNITTEST, WRONG

_SAID = b"\nRan 2 tests in 0.1s\n\nOK\n"
#: The source ends the process before the first test, and prints what its runner would print.
_AT_IMPORT = f"import os\n\nos.write(1, {_SAID!r})\nos._exit(0)\n"
#: The tests run and fail; the process prints a success instead, and its exit code is that of one.
_AT_THE_END = (
    "import atexit, os\n\nout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)\n"
    f"atexit.register(lambda: (os.write(out, {_SAID!r}), os._exit(0)))\n"
    "os.dup2(null, 1)\nos.dup2(null, 2)\n"
)
_BY_PYTEST = (
    "import sys\n\ncalls = []\n\n\ndef add(a, b):\n    calls.append(a)\n    if len(calls) > 1:\n"
    "        sys.modules['pytest'].exit('done', 0)\n    return 3\n"
)
_FEWER = "\n\nCASES = [%s]\n"
_BY_CASES = Repository(
    "pytest, cases of a source",
    {
        **PYTEST.files,
        "calc.py": RIGHT + _FEWER % "1, 2",
        "tests/test_cases.py": "import pytest\n\nfrom calc import CASES, add\n\n\n"
        "@pytest.mark.parametrize('number', CASES)\ndef test_case(number):\n"
        "    assert add(number, 0) == number\n",
    },
)
_ONE_GO = Repository(
    "go, one test", {**GO.files, "calc_test.go": str(GO.files["calc_test.go"]).replace("TestZero", "zero")}
)  # fmt: skip
_GO_EXIT = 'package calc\n\nimport "os"\n\nfunc init() { os.Exit(0) }\n'

#: Both profiles see them, although no file of the checks differs.
SEEN = [
    Case("ended at import", UNITTEST, {"calc.py": _AT_IMPORT}),
    Case("failures hidden", UNITTEST, {"calc.py": _AT_THE_END + WRONG}),
    Case("ended by pytest.exit", PYTEST, {"calc.py": _BY_PYTEST}),
    Case("ended at import", NODE, {"calc.js": f"process.exit(0);\n{WRONG_JS}"}),
    Case("ended at import", _ONE_GO, {"calc.go": WRONG_GO.replace("package calc\n", _GO_EXIT)}),
]
#: Only a run of the base shows them.
SEEN_BY_STRICT = [Case("a case fewer", _BY_CASES, {"calc.py": RIGHT + _FEWER % "1"})]
