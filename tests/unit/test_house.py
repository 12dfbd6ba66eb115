"""The package stays as it was drawn: top level, sizes, names, headers, and what is shipped."""

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
TESTS = sorted(ROOT.glob("tests/**/*.py"))
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
    "retry",
    "signing",
    "tracing",
}
MOST_LOOSE = 8


def test_the_package_has_few_loose_modules():
    loose = {path.stem for path in ROOT.glob("orchestrator/*.py")} - {"__init__"}
    assert loose <= LOOSE_MODULES
    assert len(LOOSE_MODULES) <= MOST_LOOSE


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


RETIRED = [words_of(word) for word, _ in retired()]


#: Calls whose words people see: the argument that holds the word, by the name of the call.
NAMING_CALLS = {
    "ContextVar": (0, "name"),
    "Drift": (0, "kind"),
    "Finding": (0, "kind"),
    "Thread": (4, "name"),
    "click.argument": (0, ""),
    "click.option": (0, ""),
    "get_logger": (0, "component"),
    "threading.Thread": (4, "name"),
}


def names_of(path: Path) -> Iterator[str]:
    """Yield what a module is called, and every name in it that is seen from outside."""
    yield path.stem
    yield from names_in(ast.parse(path.read_text()), is_model=path.parent.name == "models")


def names_in(tree: ast.Module, *, is_model: bool = False) -> Iterator[str]:
    """Yield classes, functions, attributes, codes, log fields, and names of threads and kinds."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.ClassDef():
                yield node.name
                for one in node.body:
                    match one:
                        case ast.AnnAssign(target=ast.Name(id=field)) if is_model:
                            yield field
                        case ast.Assign(
                            targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))
                        ):
                            yield code
                        case _:
                            pass
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case ast.Call():
                yield from named_by(node)
            case _:
                pass


def named_by(call: ast.Call) -> Iterator[str]:
    """Yield the words that a call gives to a log, a thread, a command, a finding or a kind."""
    function = ast.unparse(call.func)
    keywords = {one.arg: one.value for one in call.keywords if one.arg}
    given: list[ast.expr] = []
    if function.startswith("log."):
        yield from keywords
        given = call.args
    elif function.endswith(("bound_contextvars", "structlog.get_logger")):
        yield from keywords
    elif function in NAMING_CALLS:
        at, keyword = NAMING_CALLS[function]
        given = call.args if function.startswith("click.") else call.args[at : at + 1]
        given = [*given, *(keywords[keyword],)] if keyword in keywords else given
    yield from (
        one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def is_retired(name: str) -> bool:
    words = words_of(name)
    return any(
        words[start : start + len(word)] == word for word in RETIRED for start in range(len(words))
    )


#: The wire names `placeInLine`, `round` and `subject` are part of the published contract.
PUBLISHED = {"place_in_line", "round", "subject"}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_name_uses_a_retired_word(path):
    """The table of retired words is in docs/glossary.md."""
    assert not [name for name in names_of(path) if is_retired(name) and name not in PUBLISHED]


def test_no_command_error_or_event_uses_a_retired_word():
    sources = "\n".join(path.read_text() for path in SOURCES)
    codes = re.findall(r'^    code = "(\w+)"$', sources, re.MULTILINE)
    events = re.findall(r'"agent\.([a-z.]+)"', sources)
    assert len(codes) > 50
    assert not [name for name in [*_COMMANDS, *codes, *events] if is_retired(name)]


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    code = 'meter_silent'",
        "class A:\n    def harvest(self): ...",
        "class A:\n    def __init__(self): self._told = 1",
        "log.info('ended', janitor=1)",
        "log.info('a stray process')",
        "get_logger('custody')",
        "structlog.get_logger(room='x')",
        "bound_contextvars(place=1)",
        "threading.Thread(target=f, name='janitor')",
        "_CURRENT = ContextVar('custody', default=None)",
        "Drift('lease-of-nobody', 'a', 'b')",
        "Finding(kind='judge-config-edited', path='a')",
        "click.option('--custody', '-c')",
        "click.argument('part')",
    ],
)
def test_a_retired_word_is_found_wherever_it_is_seen_from_outside(source):
    assert any(is_retired(name) for name in names_in(ast.parse(source)))


def test_the_wire_names_of_records_are_checked_too():
    tree = ast.parse("class Fleet(Record):\n    parked: int")
    assert any(is_retired(name) for name in names_in(tree, is_model=True))


def keys_made() -> set[str]:
    """Return the constant words of all names of keys in Valkey."""
    source = (ROOT / "orchestrator/store/keys.py").read_text()
    return set(re.findall(r"[\"']orchestrator:([\w:-]+)", source))


def test_no_key_in_valkey_and_no_metric_uses_a_retired_word():
    metrics = set(
        re.findall(r"\borchestrator_\w+", (ROOT / "deploy/prometheus/alerts.yaml").read_text())
    )
    assert len(keys_made()) > 20
    assert metrics
    assert not [name for name in keys_made() | metrics if is_retired(name)]


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=relative)
def test_a_module_can_be_read_in_one_sitting(path):
    limit = 50 if path.parent.name == "tasks" else 350
    assert len(path.read_text().splitlines()) <= limit


#: Unit tests without a folder: of loose modules, and of files that the tests themselves write.
LOOSE_TESTS = LOOSE_MODULES | {"configuration", "docstrings", "house", "repo_config"}


def test_unit_tests_mirror_the_tree_of_the_package():
    """A folder of unit tests has the name of a package, and each file in it tests that package."""
    unit = ROOT / "tests" / "unit"
    for path in unit.rglob("test_*.py"):
        folder = path.relative_to(unit).parent
        if folder == Path():
            assert path.stem.removeprefix("test_") in LOOSE_TESTS
            continue
        assert (ROOT / "orchestrator" / folder).is_dir(), relative(path)
        # A command is tested through its program, so the family of packages is enough.
        package = folder.parts[0]
        # Its imports name the package, its tests, or those of the fixtures beside it.
        beside = [path, *path.parent.glob("conftest.py")]
        text = "".join(one.read_text() for one in beside)
        assert re.search(rf"\b(orchestrator|tests\.unit)\.{package}\b", text), relative(path)


#: Folders whose tests take long, the longest first, as `tests/conftest.py` starts them.
SLOW = ("topology", "faults", "sandbox", "release", "browser", "chaos")


@pytest.mark.parametrize("folder", SLOW)
def test_a_slow_folder_says_why_it_is_slow(folder):
    text = ast.get_docstring(ast.parse((ROOT / "tests" / folder / "__init__.py").read_text()))
    assert text
    assert re.search(r"^Slow: .{20}", text, re.MULTILINE)


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
