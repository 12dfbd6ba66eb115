"""Which paths of a change belong to its checks: a table of files, and of others much like them."""

from __future__ import annotations

import pytest

from orchestrator.gates.check_files import CheckFile, check_file, check_files
from orchestrator.gates.command_files import Steps
from orchestrator.interfaces.gate import FileChange

COMMANDS = ("make test", "python3 tools/judge.py", "slowcheck src")
#: The paths that the commands run in turn.
FILES = frozenset({"ci/run.sh"})
#: The begin of the content of a submodule.
PIN = f"Subproject commit {'0' * 39}"


def kind_of(
    path: str, before: str | None, after: str | None, commands: tuple[str, ...] = COMMANDS
) -> CheckFile | None:
    sides = (None if side is None else side.encode() for side in (before, after))
    return check_file(FileChange(path, *sides), Steps(commands), FILES)


@pytest.mark.parametrize(
    ("path", "before", "after", "kind"),
    [
        ("src/__pycache__/calc.cpython-311.pyc", None, "x", CheckFile.MADE),
        ("plugin.egg-info/entry_points.txt", None, "x", CheckFile.MADE),
        ("tests/.pytest_cache/lastfailed", None, "x", CheckFile.MADE),
        ("ci/run.sh", "a\n", "b\n", CheckFile.PROGRAM),
        ("tools/judge.py", "a\n", "b\n", CheckFile.PROGRAM),
        ("Makefile", "a:\n", "b:\n", CheckFile.PROGRAM),
        ("mk/tests.mk", "a:\n", "b:\n", CheckFile.PROGRAM),
        ("sitecustomize.py", "a\n", "b\n", CheckFile.LOADED),
        ("node_modules/left/index.js", "a\n", "b\n", CheckFile.LOADED),
        ("argparse.py", None, "a\n", CheckFile.LOADED),
        ("tests/json.py", None, "a\n", CheckFile.LOADED),
        ("src/json/__init__.py", None, "a\n", CheckFile.LOADED),
        ("app/slowcheck.py", None, "a\n", CheckFile.LOADED),
        ("app/slowcheck/__init__.py", None, "a\n", CheckFile.LOADED),
        ("_ctypes.so", None, "a", CheckFile.LOADED),
        ("web/.bin/slowcheck", None, "a", CheckFile.LOADED),
        ("pytest.ini", "a\n", "b\n", CheckFile.CONFIG),
        ("web/vitest.config.ts", "a\n", "b\n", CheckFile.CONFIG),
        ("setup.cfg", "", "[tool:pytest]\na = 1\n", CheckFile.CONFIG),
        ("package.json", "{}", '{"jest": {}}', CheckFile.CONFIG),
        ("package.json", "{}", "{", CheckFile.CONFIG),
        ("tests/test_calc.py", "a\n", "b\n", CheckFile.TEST),
        ("testdata/one.txt", "a\n", "b\n", CheckFile.TEST),
        ("Tests/helper.py", "a\n", "b\n", CheckFile.TEST),
        ("ShopTests/Helper.swift", "a\n", "b\n", CheckFile.TEST),
        ("latest/helper.py", "a\n", "b\n", None),
        ("Latests/helper.py", "a\n", "b\n", None),
        ("tests/common", f"{PIN}1\n", f"{PIN}2\n", CheckFile.TEST),
        ("third_party/test-suite", f"{PIN}1\n", f"{PIN}2\n", CheckFile.TEST),
        ("third_party/zlib", f"{PIN}1\n", f"{PIN}2\n", None),
        ("src/calc.py", "a\n", "b\n", None),
        ("json.py", "a\n", "b\n", None),
        ("json.py", "a\n", None, None),
        ("src/calculator.py", None, "a\n", None),
        ("app/json.py", None, "a\n", None),
        ("app/deep/slowcheck.py", None, "a\n", None),
        ("app/deep/slowcheck/__init__.py", None, "a\n", None),
        ("app/slowcheck.txt", None, "a\n", None),
        ("web/.bin/other", None, "a", None),
        ("web/bin/slowcheck", None, "a", None),
        ("setup.cfg", "", "[mypy]\na = 1\n", None),
        ("README.md", "a\n", "b\n", None),
    ],
)
def test_what_a_file_is_to_the_checks(path, before, after, kind):
    assert kind_of(path, before, after) is kind


def test_a_makefile_is_a_program_of_the_checks_only_if_one_of_them_runs_make():
    for path in ("Makefile", "mk/tests.mk"):
        assert kind_of(path, "a:\n", "b:\n", ("pytest",)) is None


def kinds(*changes: tuple[str, str | None]) -> dict[str, CheckFile]:
    made = [FileChange(path, before and before.encode(), b"b") for path, before in changes]
    return check_files(made, COMMANDS, FILES)


def test_all_of_a_new_vendor_folder_is_loaded_and_its_tests_are_tests():
    """Go reads the folder, as soon as it has a list of modules."""
    sources = (("vendor/x/x.go", "a"), ("src/x.go", "a"), ("vendor/x/x_test.go", "a"))
    found = kinds(("vendor/modules.txt", None), *sources)
    assert found == {
        "vendor/modules.txt": CheckFile.LOADED,
        "vendor/x/x.go": CheckFile.LOADED,
        "vendor/x/x_test.go": CheckFile.TEST,
    }
    assert kinds(("vendor/modules.txt", "a"), *sources) == {"vendor/x/x_test.go": CheckFile.TEST}
    assert kinds(("myvendor/modules.txt", None), *sources) == {"vendor/x/x_test.go": CheckFile.TEST}
