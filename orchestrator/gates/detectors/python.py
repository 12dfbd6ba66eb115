"""Python: the tools that its configuration, its requirements and its test files declare."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with, is_member
from orchestrator.gates.detectors._python_coverage import coverage_command
from orchestrator.gates.detectors._python_tools import Tools, read_tools
from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged

_PROJECT = frozenset({
    "pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "pytest.ini", "Pipfile",
    "requirements.txt", "tox.toml", "manage.py",
})  # fmt: skip
#: The files that make a folder of tests a package of its own.
_PACKAGE = frozenset({"pyproject.toml", "setup.py"})
_TEST_PACKAGES = ("tests/__init__.py", "test/__init__.py")
_TEST_PATH = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_IN_TESTS = re.compile(r"(?:^|/)tests/test[^/]*\.py$")
_TEST_FOLDERS = frozenset({"tests", "test", "testing", "spec", "specs"})
#: The number of test files that are read to find their framework.
_MOST_READ = 30
_FLAKE8_FILES = ("setup.cfg", "tox.ini", ".flake8")
#: A line of tox without anything that tox or a shell would fill in.
_PLAIN_LINE = re.compile(r"[\w./,=:*+ -]+")
#: A line of tox that runs a program for tests; what tox adds to it is left out.
_SCRIPT = re.compile(
    r"(?:coverage\s+run(?:\s+-\S+)*|(?:\S*python[\d.]*|\{\w+\})(?:\s+-[bBIsE]+|\s+-W\s*\w+)*)"
    r"\s+((?:[\w-]+/)*run_?tests?\.py)((?:\s+[\w./,=:+-]+)*)(?:\s+\{posargs[^{}]*\})?"
)
_LINT_SESSIONS = ("lint", "linters", "style", "flake8", "ruff", "pre-commit", "check")
_TYPE_SESSIONS = ("typecheck", "type", "types", "typing", "mypy", "pyright", "type-check")
_TEST_SESSIONS = ("tests", "test", "py", "unit", "py3")


class Python:
    """Detects by the files that configure or require tools, and by test files."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of projects, and of tests outside any project."""
        projects = {
            folder
            for folder in folders_with(_PROJECT, paths)
            if not _is_named_for_tests(folder)
            or any(f"{folder}/{name}" in paths for name in _PACKAGE)
        }
        if "" in projects:
            return projects
        tops = tuple(f"{folder}/" for folder in projects)
        others = (path for path in paths if _is_test(path) and not path.startswith(tops))
        return projects | {_home(path, paths) for path in others}

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a Python project.

        Linters run by their own names, because `python3 -m` would import a file of the checked tree
        with the same name. Tests run by `python3 -m`, because they need the tree on their path.
        """
        tools = read_tools(files)
        tests = _test_files(files, self.folders(files.paths))
        runners, source = _runners(files, tools, tests)
        program = _script(files, tools) or _django(files, tools, tests)
        if program:
            runners, source = (), program.source
        found = {
            "typecheck": _typecheck(tools) or _session(tools, _TYPE_SESSIONS),
            "lint": _lint(tools) or _session(tools, _LINT_SESSIONS),
            "tests": GateCommand(
                " && ".join(f"python3 -m {runner}" for runner in runners), source=source
            )
            if runners
            else program or _session(tools, _TEST_SESSIONS),
            "coverage": coverage_command(tools, runners, program),
            "build": GateCommand("python3 -m build", source="pyproject.toml")
            if "build-system" in tools.pyproject
            else None,
        }
        imports = _own_modules(files.paths)
        commands = {
            gate: replace(command, imports=imports if gate in ("tests", "coverage") else ())
            for gate, command in found.items()
            if command
        }
        return Detected(
            commands,
            not_judged=tuple(_outside(tools, tests)) if "pytest" in runners else (),
            listed=frozenset(_workspace(files, tools)),
            has_tests=bool(tests)
            or not runners
            or any(path in files.paths for path in _TEST_PACKAGES)
            or any(_collects_others(options) for options in _pytest_options(tools)),
        )


def _workspace(files: BaseFiles, tools: Tools) -> Iterator[str]:
    """Yield the folders of a workspace of uv, which are packages of their own at any depth."""
    table = tools.table("tool", "uv", "workspace")
    listed, excluded = (
        [str(pattern) for pattern in value] if isinstance(value := table.get(key), list) else []
        for key in ("members", "exclude")
    )
    for folder in folders_with({"pyproject.toml"}, files.paths) - {""} if listed else ():
        if is_member(folder, listed) and not is_member(folder, excluded):
            yield folder


def _script(files: BaseFiles, tools: Tools) -> GateCommand | None:
    """Return the program of a repository that runs its tests, as its sessions of tox run it.

    Test files need what such a program prepares, for example the settings of Django.
    """
    if tools.source("pytest"):
        return None
    for line, path in tools.lines_of_tox():
        match = _SCRIPT.fullmatch(line)
        if match and match[1] in files.paths:
            return GateCommand(f"python3 {match[1]}{match[2]}", source=path)
    return None


def _django(files: BaseFiles, tools: Tools, tests: tuple[str, ...]) -> GateCommand | None:
    """Return the command for the tests of Django, which need its settings."""
    path = "manage.py"
    has_tests = bool(tests) or any(
        other.rpartition("/")[2] == "tests.py" or _IN_TESTS.search(other) for other in files.paths
    )
    if not has_tests or tools.source("pytest"):
        return None
    try:
        module = ast.parse(files.text(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names = (node for node in ast.walk(module) if isinstance(node, ast.alias))
    if any(node.name == "execute_from_command_line" for node in names):
        return GateCommand(f"python3 {path} test", source=path)
    return None


def _is_named_for_tests(folder: str) -> bool:
    return folder.rpartition("/")[2] in _TEST_FOLDERS


def _is_test(path: str) -> bool:
    return _TEST_PATH.search(path) is not None


def _home(path: str, paths: Collection[str]) -> str:
    """Return the folder in which the tests of a file without a project run."""
    parts = PurePosixPath(path).parts[:-1]
    tests = next((at for at, part in enumerate(parts) if part in _TEST_FOLDERS), len(parts))
    parts = parts[:tests]
    while parts and "/".join((*parts, "__init__.py")) in paths:
        parts = parts[:-1]
    return "/".join(parts[:-1] if parts and parts[-1] == "src" else parts)


def _test_files(files: BaseFiles, projects: Iterable[str]) -> tuple[str, ...]:
    nested = tuple(f"{folder}/" for folder in projects)
    return tuple(
        sorted(path for path in files.paths if _is_test(path) and not path.startswith(nested))
    )


def _own_modules(paths: Collection[str]) -> tuple[str, ...]:
    """Return the import names of the packages and modules of a project."""
    names = set[str]()
    for path in paths:
        at = path.removeprefix("src/")
        name, _, rest = at.partition("/")
        if rest == "__init__.py" or (not rest and at != path and at.endswith(".py")):
            names.add(name.removesuffix(".py"))
    return tuple(sorted(name for name in names - _TEST_FOLDERS if name.isidentifier()))


def _runners(files: BaseFiles, tools: Tools, tests: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    # Not quieter than its configuration: the counts are read from its last line.
    if source := tools.source("pytest"):
        return ("pytest",), source
    package = next((path for path in _TEST_PACKAGES if path in files.paths), "")
    if not tests:
        return (("unittest",), package) if package else ((), "")
    if any(_is_for_pytest(files.text(path)) for path in tests[:_MOST_READ]):
        return ("pytest",), tests[0]
    starts = sorted({_start(path, files.paths) for path in tests})
    patterns = {start: _patterns(start, tests, files.paths) for start in starts}
    return tuple(
        f"unittest discover -s {shlex.quote(start)}{pattern}" if start or pattern else "unittest"
        for start in starts
        for pattern in patterns[start]
    ), tests[0]


def _is_for_pytest(text: str) -> bool:
    """Return whether a test file needs pytest: it has test functions or imports pytest."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("test"):
                return True
        elif isinstance(node, ast.ClassDef):
            if node.name.startswith("Test") and not node.bases:
                return True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if "pytest" in (*names, getattr(node, "module", None)):
                return True
    return False


def _start(path: str, paths: Collection[str]) -> str:
    """Return the folder from which unittest finds a file: the first parent that is no package."""
    folder = path.rpartition("/")[0]
    while f"{folder}/__init__.py" in paths:
        folder = folder.rpartition("/")[0]
    return folder


def _patterns(start: str, tests: tuple[str, ...], paths: Collection[str]) -> tuple[str, ...]:
    names = [path.rpartition("/")[2] for path in tests if _start(path, paths) == start]
    is_usual = [name.startswith("test") for name in names]
    usual = ("",) if any(is_usual) else ()
    return usual if all(is_usual) else (*usual, " -p '*_test.py'")


def _typecheck(tools: Tools) -> GateCommand | None:
    tables = [
        (path, section)
        for path, section in (
            *((path, tools.ini.get(path, {}).get("mypy")) for path in ("mypy.ini", ".mypy.ini")),
            ("pyproject.toml", tools.table("tool").get("mypy")),
            ("setup.cfg", tools.ini.get("setup.cfg", {}).get("mypy")),
        )
        if section is not None
    ]
    pyright = GateCommand("pyright", source=tools.source("pyright"))
    has_own = tools.declared.get("pyright") in ("pyrightconfig.json", "pyproject.toml")
    if not tables and pyright.source and (has_own or "mypy" not in tools.declared):
        return pyright
    if "mypy" not in tools.declared:
        return None
    # Files on the command line would replace the configured ones.
    path, section = tables[0] if tables else (tools.declared["mypy"], {})
    if not tables and (line := _line(tools, "mypy")):
        return GateCommand(line, source=path)
    is_configured = isinstance(section, dict) and section.keys() & {"files", "packages", "modules"}
    return GateCommand("mypy" if is_configured else "mypy .", source=path)


def _lint(tools: Tools) -> GateCommand | None:
    ruff, flake8 = tools.declared.get("ruff"), tools.declared.get("flake8")
    has_table = ruff in ("ruff.toml", ".ruff.toml") or "ruff" in tools.table("tool")
    if ruff and (has_table or flake8 != ".flake8"):
        return GateCommand("ruff check .", source=ruff)
    if not flake8:
        return None
    is_configured = any("flake8" in tools.ini[path] for path in _FLAKE8_FILES)
    line = "" if is_configured else _line(tools, "flake8")
    return GateCommand(line or "flake8", source=flake8)


def _line(tools: Tools, tool: str) -> str:
    """Return the line with which a session runs a tool, if a shell can run it as it stands."""
    lines = (line.strip().removeprefix("- ") for line, _ in tools.lines)
    return next(
        (line for line in lines if _PLAIN_LINE.fullmatch(line) and line.split()[0] == tool), ""
    )


def _session(tools: Tools, names: tuple[str, ...]) -> GateCommand | None:
    for session in tools.sessions:
        if session.rpartition(" ")[2] in names:
            return GateCommand(session, source=tools.session_files[session])
    return None


def _pytest_options(tools: Tools) -> Iterator[dict[str, object]]:
    yield dict(tools.table("tool", "pytest"))
    yield dict(tools.table("tool", "pytest", "ini_options"))
    for path, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest"),
                          ("setup.cfg", "tool:pytest")):  # fmt: skip
        yield dict(tools.ini.get(path, {}).get(section, {}))


def _collects_others(options: Mapping[str, object]) -> bool:
    """Return whether pytest is configured to find tests in files of other names."""
    return "python_files" in options or "--doctest" in str(options.get("addopts", ""))


def _outside(tools: Tools, tests: tuple[str, ...]) -> Iterator[NotJudged]:
    """Yield the folders of test files that pytest is configured to skip."""
    value = next((v for o in _pytest_options(tools) if (v := o.get("testpaths"))), None)
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        return
    tops = tuple(str(path).removeprefix("./").rstrip("/") for path in listed)
    if any(set("*?[") & set(top) or top in ("", ".") for top in tops):
        return
    inside = tuple(f"{top}/" for top in tops)
    outside = (path for path in tests if not f"{path}/".startswith(inside))
    for folder in sorted({path.rpartition("/")[0] for path in outside}):
        reason = "its test files are not in pytest's testpaths"
        yield NotJudged(path=folder, gate="tests", reason=reason)


def build(settings: object) -> Python:
    """Build the detector."""
    del settings
    return Python()
