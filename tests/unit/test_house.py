"""The house stays as it was drawn: top level, sizes, names, headers, and what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import _COMMANDS
from tests.docs.test_pages import retired

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("workers/**/*.py")])
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "Makefile", "README.md", "celeryconfig.py", "deploy",
    "docs", "orchestrator", "pyproject.toml", "tests", "workers",
}  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {path.partition("/")[0] for path in listed.stdout.splitlines()} <= TOP_LEVEL


#: What has no folder: the composition root, and what everything else may import.
LOOSE_MODULES = {
    "git_names",
    "log",
    "messages",
    "plugins",
    "repo_config",
    "retry",
    "signing",
    "tracing",
    "wiring",
}


def test_the_package_has_few_loose_modules():
    loose = {path.stem for path in ROOT.glob("orchestrator/*.py")} - {"__init__"}
    assert loose <= LOOSE_MODULES


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


RETIRED = [words_of(word) for word, _ in retired()]


def names_of(path: Path) -> Iterator[str]:
    """Yield what a module is called, and its classes, functions, log events and their fields."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
            yield from (one.value for one in node.args if isinstance(one, ast.Constant))


def is_retired(name: str) -> bool:
    words = words_of(name)
    return any(
        words[start : start + len(word)] == word for word in RETIRED for start in range(len(words))
    )


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_name_uses_a_retired_word(path):
    """The table of retired words is in docs/glossary.md."""
    assert not [name for name in names_of(path) if is_retired(name)]


def test_no_command_error_or_event_uses_a_retired_word():
    sources = "\n".join(path.read_text() for path in SOURCES)
    codes = re.findall(r'^    code = "(\w+)"$', sources, re.MULTILINE)
    events = re.findall(r'"agent\.([a-z.]+)"', sources)
    assert len(codes) > 50
    assert not [name for name in [*_COMMANDS, *codes, *events] if is_retired(name)]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_can_be_read_in_one_sitting(path):
    limit = 50 if path.parent.name == "tasks" else 350
    assert len(path.read_text().splitlines()) <= limit


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


def test_no_module_is_named_for_nothing():
    vague = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert not [relative(path) for path in SOURCES if path.stem in vague]


@pytest.mark.parametrize("path", sorted(ROOT.glob("orchestrator/**/*.lua")), ids=relative)
def test_a_script_says_its_keys_and_replies(path):
    head = path.read_text().split("\nlocal ", 1)[0]
    assert head.startswith("-- ")
    if not path.stem.startswith("_"):
        assert f"-- {path.stem}(" in head
        assert "--   K." in head
        assert ") -> " in head


#: What of the store's operations anybody may import: values, not how they are made.
VALUES = {"Flow", "Operation"}
OUTSIDE_STORE = [
    path for path in SOURCES if path.parent != ROOT / "orchestrator" / "store"
]  # fmt: skip


def valkey_made_in(tree: ast.Module) -> list[str]:
    """Return what a module outside the store imports or builds of Valkey's commands and keys."""
    found: list[str] = []
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found += [one.name for one in node.names if one.name in MAKERS]
            case ast.ImportFrom(module="orchestrator.store"):
                found += [one.name for one in node.names if f"{node.module}.{one.name}" in MAKERS]
            case ast.ImportFrom(module="orchestrator.store.operations"):
                found += [one.name for one in node.names if one.name not in VALUES]
            case ast.ImportFrom(module=str(module)) if module in MAKERS:
                found.append(module)
            case ast.Call(func=ast.Name(id="Operation")):
                found.append("Operation(...)")
            case ast.Constant(value=str(text)) if id(node) not in texts and KEY.match(text):
                found.append(text)
            case _:
                pass
    return found


#: Modules of the store that name keys or make operations of commands and scripts.
MAKERS = {f"orchestrator.store.{name}" for name in ("keys", "operations", "scripts")}
KEY = re.compile(r"orchestrator:\w")


@pytest.mark.parametrize("path", OUTSIDE_STORE, ids=relative)
def test_only_the_store_knows_valkeys_commands_and_the_names_of_keys(path):
    assert valkey_made_in(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "from orchestrator.store import agents, keys",
        "from orchestrator.store.keys import LEASES",
        "from orchestrator.store.operations import Flow, command",
        "from orchestrator.store import operations",
        "import orchestrator.store.keys",
        "from orchestrator.store.scripts import script",
        "found = Operation(('PING',), str)",
        "name = f'orchestrator:agent:{agent_id}'",
    ],
)
def test_what_makes_operations_elsewhere_is_found(source):
    assert valkey_made_in(ast.parse(source))


def test_values_and_named_operations_may_be_imported_anywhere():
    source = '"""orchestrator:agent"""\nfrom orchestrator.store.operations import Flow, Operation'
    assert not valkey_made_in(ast.parse(f"{source}\nfrom orchestrator.store import agents"))


def test_what_is_no_python_is_shipped_too(tmp_path):
    """A wheel without its scripts and prompts would fail only at its first agent."""
    import zipfile

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
         "-w", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "orchestrator", "workers", "celeryconfig.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(listed.stdout.split()) <= shipped
