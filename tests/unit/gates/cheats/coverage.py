"""Cheats and honest changes of the gate `coverage`, for coverage.py."""

from __future__ import annotations

from tests.unit.gates.cheats.judging import Case, Repository
from tests.unit.gates.cheats.python import RIGHT

#: A function that no test runs, larger than all the others.
_UNRUN = RIGHT + "\n\ndef never(a):\n" + "    a += 1\n" * 40 + "    return a\n"
_TEST = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
_MEASURE = "coverage run {0} -m pytest -q && coverage json {0} -o coverage.json"


def _gate(command: str) -> str:
    return (
        "[gates.coverage]\n"
        f'command = "{command}"\nreport = "coverage.json"\nminimum = 85\n'
    )  # fmt: skip


MEASURED = Repository(
    "coverage",
    {
        "orchestrator.toml": _gate(_MEASURE.format("")),
        "calc.py": RIGHT,
        "tests/test_calc.py": _TEST,
        "pytest.ini": "[pytest]\npythonpath = .\n",
        "pyproject.toml": "[project]\nname = 'calc'\nversion = '1'\n",
        "README.md": "calc\n",
    },
)
_BY_OPTION = Repository(
    "coverage, a file of its own",
    {
        **MEASURED.files,
        "orchestrator.toml": _gate(_MEASURE.format("--rcfile=measure.cfg")),
        "measure.cfg": "[run]\nbranch = false\n",
    },
)
_BY_SCRIPT = Repository(
    "coverage, a script",
    {
        **MEASURED.files,
        "orchestrator.toml": _gate("sh measure"),
        "measure": f"{_MEASURE.format('')}\n",
    },
)


def _test(code: str) -> dict[str, str | bytes | None]:
    return {"tests/test_calc.py": f"{_TEST}\n\n{code}\n"}


_DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3):
        os.close(descriptor)
    for _ in range(600):
        if os.path.exists("coverage.json") and os.path.getsize("coverage.json"):
            time.sleep(0.05)
            with open("coverage.json", "w") as report:
                report.write('{"totals": {"num_statements": 9, "percent_covered": 99}}')
            break
        time.sleep(0.05)
    os._exit(0)
"""
_REPORT = '{"totals": {"num_statements": 9, "percent_covered": 99}}'
_MODULE = f"import sys\nopen('coverage.json', 'w').write({_REPORT!r})\nsys.exit(0)\n"
#: What the run itself writes: nothing of it is in the text of the configuration.
RUN = {
    "a process rewrites the report": _test(_DAEMON),
    "a test writes .coveragerc": _test(
        "open('.coveragerc', 'w').write('[report]\\nexclude_lines = def never')"
    ),
    "a test writes setup.cfg": _test(
        "open('setup.cfg', 'w').write('[coverage:report]\\nexclude_lines = def never')"
    ),
    "a test adds to pyproject.toml": _test(
        "open('pyproject.toml', 'a').write('[tool.coverage.report]\\nexclude_also = [\"def never\"]\\n')"
    ),
    "a test rewrites the source": _test(
        "import atexit\natexit.register(lambda: open('calc.py', 'w').write("
        "'def add(a, b):\\n    return a + b\\n'))"
    ),
    "a test writes a module of the tool": _test(f"open('json.py', 'w').write({_MODULE!r})"),
}  # fmt: skip
_TEXT: dict[str, tuple[Repository, dict[str, str | bytes | None]]] = {
    ".coveragerc": (MEASURED, {".coveragerc": "[report]\nexclude_lines = def never\n"}),
    "tox.ini": (MEASURED, {"tox.ini": "[coverage:report]\nexclude_lines = def never\n"}),
    "pyproject.toml": (
        MEASURED,
        {
            "pyproject.toml": f"{MEASURED.files['pyproject.toml']!s}\n"
            "[tool.coverage.report]\nexclude_lines = ['def never']\n"
        },
    ),
    "the file of the option": (
        _BY_OPTION,
        {"measure.cfg": "[report]\nexclude_lines = def never\n"},
    ),
    "the script": (
        _BY_SCRIPT,
        {"measure": f"echo '{_REPORT}' >coverage.json\n"},
    ),
}  # fmt: skip
#: The configuration of the change hides the function; by the base's, the coverage is too low.
CONFIGURED = [
    Case(name, base, {"calc.py": _UNRUN, **edits}) for name, (base, edits) in _TEXT.items()
]
REWRITTEN = [Case(name, MEASURED, {"calc.py": _UNRUN, **edits}) for name, edits in RUN.items()]
_PRAGMAS = ("# pragma: no cover", "#pragmano cover", "# PRAGMA  no  COVER", "#pragma:nocover")
_NEVER = _UNRUN[len(RIGHT) :]
#: Other texts that coverage.py leaves out by default, and texts in which a pragma is hidden.
_LEFT_OUT = {
    "a pragma with a form feed": _UNRUN.replace("never(a):", "never(a):  # pragma:\x0cno cover"),
    "a pragma in two lines": _UNRUN.replace("never(a):", 'never(a, b="""# pragma:\nno cover"""):'),
    "another encoding": "# coding: utf-7\n"
    + _UNRUN.replace("+", "+-").replace("never(a):", "never(a):  +ACM- pragma: no cover"),
    "a block that begins with an ellipsis": _UNRUN.replace("never(a):\n", "never(a):\n    ...\n"),
    "a block under TYPE_CHECKING": f"{RIGHT}\n\nTYPE_CHECKING = True\n"
    "if TYPE_CHECKING:\n" + "".join(f"    {line}\n" for line in _NEVER.splitlines() if line),
}
EXCLUDED = [
    *(
        Case(pragma, MEASURED, {"calc.py": _UNRUN.replace("never(a):", f"never(a):  {pragma}")})
        for pragma in _PRAGMAS
    ),
    *(Case(name, MEASURED, {"calc.py": text}) for name, text in _LEFT_OUT.items()),
]
HONEST = [
    Case("a function and its test", MEASURED, {
        "calc.py": f"{RIGHT}\n\ndef sub(a, b):\n    return a - b\n",
        "tests/test_sub.py": "from calc import sub\n\n\ndef test_sub():\n"
        "    assert sub(2, 1) == 1\n"}),
    Case("a version", MEASURED, {"pyproject.toml": "[project]\nname = 'calc'\nversion = '2'\n"}),
    Case("a test that writes files", MEASURED, {
        **_test("def test_more(tmp_path):\n    open('made.py', 'w').write('x = 1')\n"
                "    open('calc.cfg', 'w').write('x')")}),
    Case("a fixture for a new test", MEASURED, {
        "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n",
        "tests/test_one.py": "def test_one(one):\n    assert one\n"}),
]  # fmt: skip
