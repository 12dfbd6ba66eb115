"""The files and tools that commands run, also through make and npm. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import PurePosixPath

from orchestrator.repo_config import ReadFile

_STEPS = re.compile(r"&&|\|\||[;|\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_INTERPRETER = re.compile(
    r"python[\d.]*|(ba|da|z)?sh|shell|node|tsx|ts-node|ruby|perl|deno|bun|source|\."
)
#: The words that may precede the program of a step.
WRAPPERS = frozenset({
    "env", "exec", "time", "command", "npx", "cross-env", "uv", "poetry", "pipenv", "pdm", "run",
    "if", "then", "else", "do", "!", "{",
})  # fmt: skip
#: Options of an interpreter that take a value; for some of them the interpreter runs the value.
VALUED = frozenset({"-r", "--require", "--import", "--loader", "-W", "-X", "-o"})
#: The folder of a step, in the syntax of make and of the shell.
HERE = re.compile(r"^\$[({]?\w+[)}]?/")
#: The order in which GNU make searches.
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_INCLUDE = re.compile(r"^[ ]*[-s]?include[ \t]+(.{0,1000})", re.MULTILINE)
_VARIABLE = re.compile(
    r"^(?:(?:export|override)[ \t]+)?(\w+)[ \t]{0,20}[:?+]{0,3}=[ \t]{0,20}(.{0,200})$",
    re.MULTILINE,
)
#: Further options of a tool, which are empty unless somebody gives them.
_OPTIONS = re.compile(r"\w*(?:FLAGS|ARGS|OPTS|OPTIONS)")
_REFERENCE = re.compile(r"\$[({](\w+)[)}]")
#: Limits for one line and for one tree, which bound the work.
_MOST_TARGETS = 20
_MOST_INCLUDED = 50
#: The scripts of package.json that an installation runs.
_AT_INSTALL = frozenset({"preinstall", "install", "postinstall", "prepare"})
_TOOL = re.compile(r"[a-zA-Z][\w-]*")
#: Tools that a plan often runs through another one (make, npm, tox), and modules that they import.
TOOLS = frozenset({
    "unittest", "pytest", "coverage", "mypy", "ruff", "flake8", "pyright", "tox", "nox", "jest",
    "vitest", "mocha", "eslint", "tsc", "nyc", "c8", "_pytest", "pluggy", "iniconfig", "xdist",
    "pytest_cov", "mypyc", "mypy_extensions", "typing_extensions", "pycodestyle", "pyflakes",
})  # fmt: skip


class Steps:
    """The files of the tree that commands run, and the tools that files may shadow."""

    def __init__(self, commands: Iterable[str]) -> None:
        steps = [_words(step) for command in commands for step in _STEPS.split(command)]
        # A file that is an argument of a tool is checked by it; a file that is run is part of the
        # check.
        self.files = frozenset(_path(word) for step in steps for word in _run_by(step))
        self.words = {PurePosixPath(word).name for step in steps for word in step}
        self.tools = TOOLS | {word for word in self.words if _TOOL.fullmatch(word)}
        self.uses_make = "make" in self.words
        self.uses_scripts = bool(self.words & {"npm", "npx", "pnpm", "yarn", "bun", "bunx"})


def files_run(read: ReadFile, commands: Iterable[str]) -> frozenset[str]:
    """Return the files that make and npm run for commands, and the files that make includes.

    `read` returns their rules and scripts. The files that those files run are not read.
    """
    lines, included = lines_run(read, commands)
    return Steps(lines).files | included


def lines_run(read: ReadFile, commands: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the lines that make and npm run for commands, and the files that make includes."""
    asked = Steps(commands)
    if not (asked.uses_make or asked.uses_scripts):
        return (), frozenset()
    scripts = _scripts(read)
    by_scripts = Steps(chain.from_iterable(scripts.values()))
    uses_make = asked.uses_make or by_scripts.uses_make
    rules, included = make_rules(read) if uses_make else ({}, frozenset())
    words = asked.words | (_AT_INSTALL if asked.uses_scripts else set())
    if asked.uses_make and not asked.words & rules.keys():
        # Without a target make chooses one itself.
        words |= rules.keys()
    bodies = {name: [*rules.get(name, ()), *lines] for name, lines in scripts.items()}
    return tuple(_reached({**rules, **bodies}, words)), included


def _reached(bodies: Mapping[str, list[str]], words: Iterable[str]) -> Iterator[str]:
    """Yield each line that the words cause to run: a name in a line adds the lines of that name."""
    todo, seen = list(words), set[str]()
    while todo:
        name = todo.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            todo += Steps(bodies[name]).words
            yield from bodies[name]


def _scripts(read: ReadFile) -> dict[str, list[str]]:
    try:
        scripts = json.loads(read("package.json") or b"{}").get("scripts", {}).items()
        return {
            name: [f": pre{name} post{name}", text]
            for name, text in scripts
            if isinstance(text, str)
        }
    except (ValueError, AttributeError, RecursionError):
        # npm itself reports the fault.
        return {}


def recipe_of(target: str, rules: Mapping[str, list[str]]) -> list[str]:
    """Return the shell lines that make runs for a target and for those it needs or calls."""
    return [line for line in _reached(rules, [target]) if line.strip() and line[0] != ":"]


def make_rules(read: ReadFile) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Return the rules of make's targets, with variables replaced once, and the included files.

    For each target: its prerequisites, in lines that begin with a colon, and its recipe's lines.
    """
    main = next(filter(None, map(read, MAKEFILES)), b"")
    included = {_path(word) for line in _INCLUDE.findall(_text(main)) for word in line.split()}
    text = "\n".join(
        map(_text, (main, *(read(path) or b"" for path in sorted(included)[:_MOST_INCLUDED])))
    )
    variables: dict[str, str] = dict(_VARIABLE.findall(text))
    rules: dict[str, list[str]] = {}
    targets: list[str] = []

    def value(reference: re.Match[str]) -> str:
        name: str = reference[1]
        unknown = "" if _OPTIONS.fullmatch(name) else reference.group()
        return variables.get(name, unknown)

    for line in _REFERENCE.sub(value, text).splitlines():
        if line.startswith("\t"):
            for target in targets:
                rules[target].append(line.lstrip("\t @+-"))
        elif ":" in (line := line.partition("#")[0]) and not _VARIABLE.match(line):
            names, _, rest = line.partition(":")
            needs, _, recipe = rest.lstrip(":").partition(";")
            targets = names.split()[:_MOST_TARGETS]
            for target in targets:
                rules.setdefault(target, []).extend((f": {needs}", recipe))
    return rules, frozenset(included)


def _text(content: bytes) -> str:
    # A continued line becomes one line; no path contains a null character.
    return content.decode(errors="replace").replace("\\\n", " ").replace("\0", "")


def _path(word: str) -> str:
    return str(PurePosixPath(HERE.sub("", word)))


def _words(step: str) -> list[str]:
    try:
        return shlex.split(step)
    except ValueError:
        return step.split()


def _run_by(words: Iterable[str]) -> Iterator[str]:
    """Yield the files that one step runs: its program, or the file argument of an interpreter."""
    bare = (word.lstrip("(") for word in words if not _ASSIGNMENT.match(word))
    program = next((word for word in bare if word not in WRAPPERS), "")
    called = program.rpartition("/")[2].strip("$(){}").lower()
    if not _INTERPRETER.fullmatch(called):
        yield from filter(None, (program,))
        return
    is_value = False
    for word in bare:
        if not word.startswith("-"):
            yield word
            if not is_value:
                return
        is_value = word in VALUED
