"""Python: the tools its configuration or its lists of requirements mention."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator.interfaces.gate import GateCommand

#: Where a project says which tools it uses.
_FILES = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "noxfile.py",
    ".pre-commit-config.yaml",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "requirements-test.txt",
    "test-requirements.txt",
    "requirements/dev.txt",
    "requirements/test.txt",
    "pytest.ini",
)
_TEST_PACKAGES = ("tests/__init__.py", "test/__init__.py")
_COVERAGE_JSON = "coverage.json"
_MYPY_SECTION = re.compile(r"^\[(?:tool\.)?mypy\]$(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_COVERAGE_TOOL = re.compile(r"\[(?:tool\.)?coverage[.:]|(?<![\w-])coverage\b")


class Python:
    """Detects by the files that configure or require tools."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Python project.

        Linters are called by their own names: `python3 -m` would import a file of the judged tree
        that is called like one. Tests are not, because they need the tree on their path.
        """
        texts = {path: (read(path) or b"").decode(errors="replace") for path in _FILES}
        says = "\n".join(texts.values())
        runner = _runner(says, read)
        coverage = _coverage(says, read(".coveragerc"), runner)
        found = {
            "typecheck": _typecheck(says, read),
            "lint": _lint(says, read),
            "tests": f"python3 -m {runner}" if runner else None,
            "coverage": coverage,
            "build": "python3 -m build"
            if re.search(r"^\[build-system\]", texts["pyproject.toml"], re.MULTILINE)
            else None,
        }
        return {
            gate: GateCommand(command, report=_COVERAGE_JSON if gate == "coverage" else None)
            for gate, command in found.items()
            if command
        }


def _text(read: Callable[[str], bytes | None], path: str) -> str:
    return (read(path) or b"").decode(errors="replace")


def _mentions(tool: str, says: str) -> bool:
    return re.search(rf"(?<![\w-]){tool}(?![\w-])", says) is not None


def _typecheck(says: str, read: Callable[[str], bytes | None]) -> str | None:
    own = _text(read, "mypy.ini") or _text(read, ".mypy.ini")
    section = _MYPY_SECTION.search(own or says)
    if section is None and (read("pyrightconfig.json") is not None or "[tool.pyright]" in says):
        return "pyright"
    if section is not None or own or _mentions("mypy", says):
        # Files named on the command line would replace the configured ones.
        configured = section and re.search(
            r"^(?:files|packages|modules)\s*=", section[1], re.MULTILINE
        )
        return "mypy" if configured else "mypy ."
    return "pyright" if _mentions("pyright", says) else None


def _lint(says: str, read: Callable[[str], bytes | None]) -> str | None:
    has_ruff = read("ruff.toml") is not None or read(".ruff.toml") is not None
    if has_ruff or "[tool.ruff" in says or (read(".flake8") is None and _mentions("ruff", says)):
        return "ruff check ."
    return "flake8" if read(".flake8") is not None or _mentions("flake8", says) else None


def _runner(says: str, read: Callable[[str], bytes | None]) -> str | None:
    # Not quieter than its configuration makes it: the counts are read from its last line.
    if _mentions(r"pytest(?:-\w+)*", says):
        return "pytest"
    return "unittest" if any(read(path) is not None for path in _TEST_PACKAGES) else None


def _coverage(says: str, own: bytes | None, runner: str | None) -> str | None:
    if runner == "pytest" and _mentions("pytest-cov", says):
        # Under `coverage run` its own measuring and this one's would overwrite each other.
        return f"python3 -m pytest --cov --cov-report=json:{_COVERAGE_JSON}"
    if runner is None or (own is None and not _COVERAGE_TOOL.search(says)):
        return None
    settings = f"{says}\n{(own or b'').decode(errors='replace')}"
    is_parallel = re.search(r"^parallel\s*=\s*true", settings, re.MULTILINE | re.IGNORECASE)
    # What combining finds must be this run's own.
    erase, combine = ("coverage erase && ", "coverage combine && ") if is_parallel else ("", "")
    return f"{erase}coverage run -m {runner} && {combine}coverage json -o {_COVERAGE_JSON}"


def build(settings: object) -> Python:
    """Build the detector."""
    del settings
    return Python()
