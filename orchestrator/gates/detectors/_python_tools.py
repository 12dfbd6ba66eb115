"""The tools that a Python project declares, in the files that configure, require or run them."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import table_in

#: Lists of requirements at the top of a project, or in the folder for them.
_REQUIREMENTS = re.compile(
    r"(?:[\w.-]*requirements[\w.-]*|constraints-dev)\.(?:txt|in)"
    r"|(?:requirements|reqs|tests?)/[\w.-]+\.(?:txt|in)"
)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
#: Files whose existence shows that a tool is used.
_OWN_FILES = {
    "pytest.ini": "pytest", ".pytest.ini": "pytest", "pytest.toml": "pytest", "mypy.ini": "mypy",
    ".mypy.ini": "mypy", "pyrightconfig.json": "pyright", "ruff.toml": "ruff",
    ".ruff.toml": "ruff", ".flake8": "flake8", ".coveragerc": "coverage",
}  # fmt: skip
#: A requirement or a command of tox that applies under a condition: `py311: name`.
_CONDITION = re.compile(r"^\s*[\w,{}!-]+:\s")
_SECTIONS = {
    "tool:pytest": "pytest", "pytest": "pytest", "mypy": "mypy", "flake8": "flake8",
    "coverage:run": "coverage", "coverage:report": "coverage",
}  # fmt: skip
#: The words that may precede the program of a line.
_BEFORE = re.compile(
    r"^(?:-|!|\s)*(?:(?:uv|poetry|pdm|hatch|pipenv) run\s+(?:--?[\w-]+\s+)*)?"
    r"(?:\S*python[\d.]*\}?|\{\w+\})(?:\s+-[WX]\s*\S+|\s+-[bBsEIuO]+)*\s+-m\s+"
    r"|^(?:-|!|\s)*(?:uv|poetry|pdm|hatch|pipenv) run\s+"
)
#: Options of pip without a value.
_FLAGS = ("-U", "--upgrade", "-q", "--quiet")
_COVERED = re.compile(r"^coverage\s+run\s+(?:-\S+\s+)*?-m\s+")


@dataclass
class Tools:
    """The declarations of a project: each tool with its file, its sessions, its settings."""

    #: The first file that declares each tool.
    declared: dict[str, str] = field(default_factory=dict)
    #: The tools that `tox run -e lint` or `nox -s lint` runs.
    sessions: dict[str, set[str]] = field(default_factory=dict)
    #: The requirements that a session installs, without those under a condition.
    needs: dict[str, list[str]] = field(default_factory=dict)
    #: The command lines of sessions of tox, in order, each with the file that has it.
    lines: list[tuple[str, str]] = field(default_factory=list)
    #: The file that declares each session.
    session_files: dict[str, str] = field(default_factory=dict)
    pyproject: Mapping[str, Any] = field(default_factory=dict)
    #: The options of files in the ini format, by file and section.
    ini: dict[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    def source(self, tool: str) -> str:
        """Return the file that declares a tool or one of its plug-ins; empty if none does."""
        return self.declared.get(tool) or next(
            (path for name, path in self.declared.items() if name.startswith(f"{tool}-")), ""
        )

    def add(self, tool: str, path: str) -> None:
        """Record that a file declares a tool."""
        self.declared.setdefault(re.sub(r"[-_.]+", "-", tool).lower(), path)

    def add_session(self, session: str, run: set[str], path: str) -> None:
        """Record a session, and the tools that it runs."""
        self.sessions.setdefault(session, run)
        self.session_files.setdefault(session, path)
        for tool in run:
            self.add(tool, path)

    def lines_of_tox(self) -> Iterator[tuple[str, str]]:
        """Yield the command lines of tox without their conditions, with the file that has them."""
        for line, path in self.lines:
            yield _CONDITION.sub("", line).strip().removeprefix("- ").strip(), path

    def table(self, *names: str) -> Mapping[str, Any]:
        """Return a table of pyproject.toml; empty if there is none."""
        return table_in(self.pyproject, *names)


def read_tools(files: BaseFiles) -> Tools:
    """Read the declarations of a project; a file that cannot be parsed declares nothing."""
    tools = Tools()
    _read_pyproject(files, tools)
    for path in ("setup.cfg", "tox.ini"):
        tools.ini[path] = _ini(files.text(path))
        _read_sections(path, tools.ini[path], tools)
    _read_tox(files, tools)
    for path in ("mypy.ini", ".mypy.ini", ".coveragerc", "pytest.ini", ".flake8"):
        tools.ini[path] = _ini(files.text(path))
    for path, tool in _OWN_FILES.items():
        if path in files.paths:
            tools.add(tool, path)
    _read_setup(files, tools)
    _read_nox(files, tools)
    _read_pipfile(files, tools)
    _read_hooks(files, tools)
    for path in sorted(filter(_REQUIREMENTS.fullmatch, files.paths)):
        for line in files.text(path).splitlines():
            if requirement := _REQUIREMENT.match(line.partition("#")[0]):
                tools.add(requirement[1], path)
    return tools


def programs_of(line: str) -> Iterator[str]:
    """Yield the tools that one line of a shell runs: its program, or the module for python."""
    for step in re.split(r"&&|\|\||[;|]", line):
        text = _BEFORE.sub("", step.strip())
        if (covered := _COVERED.match(text)) is not None:
            yield "coverage"
            text = text[covered.end() :]
        if word := text.lstrip("-! ").partition(" ")[0]:
            yield word


def _read_pyproject(files: BaseFiles, tools: Tools) -> None:
    path = "pyproject.toml"
    tools.pyproject = files.document(path)
    for tool in tools.table("tool"):
        tools.add(tool, path)
    project, tool_tables = tools.table("project"), tools.table("tool")
    wanted: list[Any] = [
        project.get("dependencies"),
        *table_in(project, "optional-dependencies").values(),
        *tools.table("dependency-groups").values(),
        table_in(tool_tables, "uv").get("dev-dependencies"),
        *table_in(tool_tables, "pdm", "dev-dependencies").values(),
    ]
    poetry = table_in(tool_tables, "poetry")
    wanted += [list(table_in(poetry, key)) for key in ("dependencies", "dev-dependencies")]
    wanted += [
        list(table_in(group, "dependencies")) for group in _tables(table_in(poetry, "group"))
    ]
    lines: list[str] = [
        line
        for tables in (
            table_in(tool_tables, "pdm", "scripts"),
            table_in(tool_tables, "poe", "tasks"),
        )
        for line in _strings(tables)
    ]
    for env in _tables(table_in(tool_tables, "hatch", "envs")):
        wanted += [env.get("dependencies"), env.get("extra-dependencies")]
        lines += _strings(table_in(env, "scripts"))
    for requirement in _strings(wanted):
        if name := _REQUIREMENT.match(requirement):
            tools.add(name[1], path)
    for line in lines:
        for tool in programs_of(line):
            tools.add(tool, path)


def _read_sections(path: str, sections: Mapping[str, Mapping[str, str]], tools: Tools) -> None:
    for heading, options in sections.items():
        if heading in _SECTIONS:
            tools.add(_SECTIONS[heading], path)
        wanted = [options.get(key, "") for key in ("deps", "install_requires", "tests_require")]
        if heading == "options.extras_require":
            wanted += options.values()
        for line in "\n".join(wanted).splitlines():
            if name := _REQUIREMENT.match(_CONDITION.sub("", line)):
                tools.add(name[1], path)
        lines = options.get("commands", "").split("\n")
        if heading.partition(":")[0] == "testenv" and any(map(str.strip, lines)):
            run = {tool for line in lines for tool in programs_of(_CONDITION.sub("", line))}
            session = f"tox run -e {heading.partition(':')[2] or 'py'}"
            tools.add_session(session, run, path)
            tools.lines += [(line, path) for line in lines]
            tools.needs[session] = options.get("deps", "").splitlines()


def _read_tox(files: BaseFiles, tools: Tools) -> None:
    """Read tox.toml and the tables of tox in pyproject.toml, in the format of tox 4 and before."""
    own = files.document("tox.toml")
    legacy = tools.table("tool", "tox").get("legacy_tox_ini")
    if isinstance(legacy, str):
        _read_sections("pyproject.toml", _ini(legacy), tools)
    for path, table in (("tox.toml", own), ("pyproject.toml", tools.table("tool", "tox"))):
        environments = {"py": table_in(table, "env_run_base")} | {
            str(name): table_in(table, "env", name) for name in table_in(table, "env")
        }
        for name, environment in environments.items():
            for requirement in _strings(environment.get("deps")):
                if wanted := _REQUIREMENT.match(requirement):
                    tools.add(wanted[1], path)
            commands = environment.get("commands")
            lines = [
                shlex.join(_strings(command)) if isinstance(command, list) else str(command)
                for command in (commands if isinstance(commands, list) else [])
            ]
            if lines:
                run = {tool for line in lines for tool in programs_of(line)}
                session = f"tox run -e {shlex.quote(name)}"
                tools.add_session(session, run, path)
                tools.lines += [(line, path) for line in lines]
                tools.needs[session] = list(_strings(environment.get("deps")))


def _read_setup(files: BaseFiles, tools: Tools) -> None:
    for call in ast.walk(_parse(files.text("setup.py"))):
        if isinstance(call, ast.keyword) and call.arg in (
            "install_requires", "tests_require", "extras_require",
        ):  # fmt: skip
            for requirement in _constants(call.value):
                if name := _REQUIREMENT.match(requirement):
                    tools.add(name[1], "setup.py")


def _read_nox(files: BaseFiles, tools: Tools) -> None:
    path = "noxfile.py"
    for function in ast.walk(_parse(files.text(path))):
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
        if not any(
            (isinstance(d, ast.Attribute) and d.attr == "session")
            or (isinstance(d, ast.Name) and d.id == "session")
            for d in decorators
        ):
            continue
        run, needs = set[str](), list[str]()
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                words = list(_constants(*call.args))
                if call.func.attr in ("run", "run_always", "run_install"):
                    run |= set(programs_of(shlex.join(words)))
                elif call.func.attr == "install":
                    needs += _plain_words(call)
                    run |= {name[1] for word in words if (name := _REQUIREMENT.match(word))}
        names = [
            constant
            for decorator in function.decorator_list
            if isinstance(decorator, ast.Call)
            for keyword in decorator.keywords
            if keyword.arg == "name"
            for constant in _constants(keyword.value)
        ]
        session = shlex.quote((names or [function.name])[0])
        tools.add_session(f"nox -s {session}", run, path)
        tools.needs[f"nox -s {session}"] = needs


def _read_pipfile(files: BaseFiles, tools: Tools) -> None:
    path = "Pipfile"
    tables = files.document(path)
    for name in ("packages", "dev-packages"):
        for wanted in table_in(tables, name):
            tools.add(wanted, path)


def _read_hooks(files: BaseFiles, tools: Tools) -> None:
    path = ".pre-commit-config.yaml"
    try:
        document = yaml.safe_load(files.text(path)) if path in files.paths else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    ids = {str(hook.get("id")) for hook in _mappings(document)}
    for tool in ("ruff", "mypy", "flake8", "pyright"):
        if ids & {tool, f"{tool}-check", f"mirrors-{tool}"}:
            tools.add(tool, path)


def _mappings(document: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield every mapping of a document once, also if aliases repeat it."""
    seen, todo = set[int](), [document]
    while todo:
        part = todo.pop()
        if id(part) in seen or not isinstance(part, dict | list):
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            yield part
        todo += part.values() if isinstance(part, dict) else part


def _ini(text: str) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="\0")
    try:
        parser.read_string(text)
    except (configparser.Error, ValueError):
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def _parse(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _plain_words(call: ast.Call) -> Iterator[str]:
    """Yield the arguments of a call that are plain texts, without the values of options.

    Only a file of requirements is given with its option.
    """
    before = ""
    for argument in call.args:
        word = str(argument.value) if isinstance(argument, ast.Constant) else ""
        if before in ("-r", "--requirement"):
            yield f"-r {word}"
        elif before in ("", *_FLAGS):
            yield word
        before = word if word.startswith("-") else ""


def _constants(*nodes: ast.AST) -> Iterator[str]:
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def _tables(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (value for value in table.values() if isinstance(value, dict))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
