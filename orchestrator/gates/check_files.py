"""Which paths of a change belong to its checks: tests, their configuration, and runners. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Container, Iterable
from enum import StrEnum
from pathlib import PurePosixPath

from orchestrator.gates.command_files import MAKEFILES, Steps
from orchestrator.gates.deleted_tests import TEST_PATH
from orchestrator.gates.tool_config import configures_tests
from orchestrator.interfaces.gate import FileChange


class CheckFile(StrEnum):
    """What a file is to the checks of a repository."""

    #: A test, or what stands beside tests.
    TEST = "test"
    #: What configures a test runner.
    CONFIG = "config"
    #: A program that a gate's command runs.
    PROGRAM = "program"
    #: A file that a runner or an interpreter loads unasked.
    LOADED = "loaded"
    #: What tools make from sources, and prefer to them.
    MADE = "made"


_TEST_FOLDER = re.compile(
    r"(^|/)((?i:tests?|__tests__|specs?|testdata|test_data|e2e|__snapshots__|__mocks__)"
    r"|[\w.-]*[a-z]Tests?)/"
    r"|(^|/)tests?\.py$|\.snap$|[-_](test|spec)\.[cm]?[jt]sx?$|_spec\.rb$"
)
#: The files of test runners, of coverage and of what starts them.
TEST_CONFIG = re.compile(
    r"(^|/)(\.coveragerc[^/]*|\.?pytest\.(ini|toml)|tox\.(ini|toml)|noxfile\.py|conftest\.py"
    r"|\.(mocharc|nycrc|c8rc|taprc|babelrc|swcrc)[^/]*|[\w-]*babel\.config\.[^/]+"
    r"|(jest|vitest|vite|karma|ava|playwright|cypress)[\w.-]*\.(config|setup|workspace|preset)[^/]*"
    r"|(karma|wdio|protractor|nightwatch|codecept|wallaby)\.conf\.[cm]?[jt]s|testem\.[^/]+|bunfig\.toml"
    r"|(unittest|nose2)\.cfg|\.noserc|behave\.ini|jasmine[\w-]*\.(json|[cm]?js)"
    r"|(jest|vitest)[-.](setup|config|environment|preset)[^/]*|setup-?tests?\.[cm]?[jt]sx?"
    r"|go\.work|nextest\.toml|phpunit[^/]*\.xml[^/]*|\.rspec)$"
)
#: An interpreter, a package manager or a loader reads them without being asked to.
_LOADED = re.compile(
    r"(^|/)((site|user)customize(\.py|/__init__\.py)|[^/]+\.pth|\.npmrc|\.yarnrc(\.yml)?"
    r"|\.pnpmfile\.cjs|\.pdbrc|\.pythonrc[^/]*|\.env|\.swcrc|\.cargo/config(\.toml)?)$"
    r"|(^|/)node_modules/|(^|/)\.yarn/(releases|plugins)/"
)
_MADE = re.compile(
    r"(^|/)(__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.nyc_output|\.tox|\.nox)/"
    r"|\.(egg-info|dist-info)(/|$)|\.py[co]$|(^|/)(pyvenv\.cfg|\.coverage|\.coverage\.[\w.-]+\.\w+)$"
    r"|(^|/)node_modules/\.(cache|vite|vitest)/|\.tsbuildinfo$|(^|/)\.eslintcache$"
)
_COMPILED = frozenset({".so", ".pyd", ".node", ".dylib"})
_MAKE = re.compile(r"(^|/)[^/]+\.(mk|make|mak)$")
#: The content of a submodule in a change, and the words of a folder that has tests.
_PIN = re.compile(rb"Subproject commit [0-9a-f]{40,64}\n")
_OF_TESTS = re.compile(
    r"(^|[/._-])(tests?|testing|testdata|specs?|suites?|fixtures?|conformance|e2e)(?=[/._-]|$)"
)
#: Go reads this folder instead of the modules that go.sum names.
_VENDORED = "vendor/modules.txt"


def check_file(change: FileChange, plan: Steps, files: Container[str]) -> CheckFile | None:
    """Return what a changed file is to the checks; None for a source, data or a document.

    `plan` are the steps of the plan's commands, `files` the paths that those run in turn.
    """
    path, name = change.path, PurePosixPath(change.path).name
    is_makefile = name in MAKEFILES or _MAKE.search(path) is not None
    if is_made(path):
        return CheckFile.MADE
    if path in files or path in plan.files or (plan.uses_make and is_makefile):
        return CheckFile.PROGRAM
    if _LOADED.search(path) or is_shadow(change, plan):
        return CheckFile.LOADED
    if TEST_CONFIG.search(path) or configures_tests(change, plan):
        return CheckFile.CONFIG
    is_test = TEST_PATH.search(path) or _TEST_FOLDER.search(path)
    if _PIN.fullmatch(change.after or change.before or b""):
        is_test = _OF_TESTS.search(path)
    return CheckFile.TEST if is_test else None


def check_files(
    changes: Iterable[FileChange], commands: Collection[str], files: Container[str]
) -> dict[str, CheckFile]:
    """Return every changed path that belongs to the checks, with what it is to them."""
    plan = Steps(commands)
    changes = tuple(changes)
    is_vendored = any(
        change.before is None and f"/{change.path}".endswith(f"/{_VENDORED}") for change in changes
    )
    found: dict[str, CheckFile] = {}
    for change in changes:
        kind = check_file(change, plan, files)
        if is_vendored and "vendor/" in change.path:
            kind = kind or CheckFile.LOADED
        if kind is not None:
            found[change.path] = kind
    return found


def is_made(path: str) -> bool:
    """Return whether tools make this file from others; a checkout holds those of the base only."""
    return _MADE.search(path) is not None


def is_shadow(change: FileChange, plan: Steps) -> bool:
    """Return whether a new file is found before a module or tool of the checks, by its name.

    Python finds modules at the top, in `src` and in folders of tests first; a shell finds programs
    of `node_modules/.bin` first.
    """
    if change.before is not None or change.after is None:
        return False
    path = PurePosixPath(change.path)
    is_package = path.name == "__init__.py"
    is_compiled = path.suffix in _COMPILED
    stem = path.parent.name if is_package else path.name.partition(".")[0]
    if path.suffix != ".py" and not is_compiled:
        return path.parent.name == ".bin" and path.name in plan.tools
    folder = str(path.parent.parent if is_package else path.parent)
    is_first = folder in {".", "src", "lib"} or TEST_PATH.search(f"{folder}/") is not None
    is_near = len(path.parts) <= 2 + is_package
    return (is_first and stem in sys.stdlib_module_names) or (is_near and stem in plan.tools)
