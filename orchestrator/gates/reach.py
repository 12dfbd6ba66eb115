"""The files of the base commit that gates' commands run, followed through scripts. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import zip_longest
from pathlib import PurePosixPath

from orchestrator.gates.command_files import HERE, VALUED, WRAPPERS, lines_run
from orchestrator.gates.config_files import configured_files
from orchestrator.gates.deleted_tests import TEST_PATH
from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.detectors._node_packages import members_of, read_package, runs_all_members
from orchestrator.gates.gate_files import MANIFEST
from orchestrator.repo_config import ReadFile

#: Limits of the work for one plan.
_MOST_FILES = 200
_MOST_BYTES = 2**18
_MOST_WORDS = 20_000
_MOST_LINES = 10_000
#: The signs between two steps; brackets are a shell of its own, which ends with its folder.
_SIGNS = re.compile(r"(&&|\|\||[;|&\n()`])")
#: A variable in the syntax of make; the shell runs a command in this syntax.
_VARIABLE = re.compile(r"\$\((\w+)\)")
#: Options whose value is a folder in which the command works.
_FOLDER_OPTIONS = frozenset({
    "-C", "--directory", "--prefix", "--cwd", "--dir", "--rootdir", "--root", "-w", "--workspace",
    "workspace", "--filter", "-F",
})  # fmt: skip
#: Options whose value is a file or a module that the program loads.
_LOADING_OPTIONS = frozenset({
    "-c", "--config", "--config-file", "--configuration", "-p", "-r", "--require", "--import",
    "--loader", "--experimental-loader", "--rcfile", "-f", "--file", "--makefile", "--setup",
    "--setup-file", "--settings", "--env-file", "--noxfile", "--conf", "--project", "-m",
    "--test-reporter", "--globalSetup", "--setupFiles",
})  # fmt: skip
#: The programs whose first argument without a dash is a program in turn.
_INTERPRETER = re.compile(r"python[\d.]*|(?:ba|da|z|k)?sh|node|tsx|ts-node|ruby|perl")
_SOURCED = frozenset({".", "source"})
#: Options before a program that take a value.
_VALUED = VALUED | {
    "--source", "--rcfile", "--include", "--omit", "--data-file", "--with", "--extra", "--group",
    "--python", "--package", "--env-file", "--project", "--directory",
}  # fmt: skip
#: An option of a shell whose value is a command.
_COMMAND = re.compile(r"-[a-z]*c")
#: The programs that run the lines of a Makefile or of package.json.
_RUN_LINES = frozenset({"make", "gmake", "npm", "npx", "pnpm", "yarn", "bun", "bunx"})
#: The programs that run the tasks of a file which their command does not name, and these files.
_TASK_FILES = {
    "tox": ("tox.ini", "tox.toml", "setup.cfg", "pyproject.toml"),
    "nox": ("noxfile.py",),
    "pre-commit": (".pre-commit-config.yaml",),
    "prek": (".pre-commit-config.yaml", "prek.toml"),
    "invoke": ("tasks.py",), "inv": ("tasks.py",), "doit": ("dodo.py",), "fab": ("fabfile.py",),
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml"),
    "hatch": ("hatch.toml", "pyproject.toml"), "poe": ("pyproject.toml", "poe_tasks.toml"),
    "gulp": ("gulpfile.js",), "grunt": ("Gruntfile.js",), "rake": ("Rakefile",),
}  # fmt: skip
#: In such a file: an interpreter and what it runs, or a program of the tree.
_TASK = re.compile(
    r"(?:\b(?:python[\d.]*|(?:ba|da|z|k)?sh|node|tsx|ts-node|ruby|perl|coverage[\"'\s,]{1,9}run)\b"
    r"|\{env_?python\}|\.executable)(?:[\"'\s,]{1,9}-[\w-]{1,50}){0,5}[\"'\s,]{1,9}([\w./-]{1,200})"
)
_OWN_PROGRAM = re.compile(r"""(?:^|[\s"'\[=(:])((?:\./|[\w-]+/)[\w./-]{1,200})""", re.MULTILINE)
#: What `--require ./hook` may leave out.
_SUFFIXES = (".js", ".cjs", ".mjs", ".ts", ".json", "/index.js")
#: A file with such a name is read as a script; others, such as sources, are not followed.
_SCRIPT = re.compile(r"\.(sh|bash|mk|make|mak|ini|cfg|toml|json|ya?ml|conf|env|rc|bat|ps1)$")
#: Sources are arguments of a check, unless a program or an option loads them.
_SOURCE = re.compile(
    r"\.(py|pyi|[cm]?[jt]sx?|go|rs|rb|c|h|cc|cpp|hpp|java|kt|php|vue|svelte|md|rst|txt)$"
)
_SIBLING = re.compile(
    r"^[ \t]*(?:from|import)[ \t]+\.?([\w.]+)(?:[ \t]+import[ \t]+(\w+))?", re.MULTILINE
)
_REQUIRED = re.compile(r"""(?:require\(|from|import)\s*["'](\.{1,2}/[^"']+)["']""")


def reached_files(
    read: ReadFile, paths: Collection[str], commands: Iterable[tuple[str, str]]
) -> frozenset[str]:
    """Return the files that commands run or load; each command has the folder that it runs in.

    They include those that the configuration of checks names, which tools read unasked.

    Only paths of the base commit are returned. A file that is an argument of a check, as in
    `mypy app.py`, is not: the check reads it, and does not run it.
    """
    walk = _Walk(read, paths)
    for folder, command in commands:
        walk.follow_text(command, (folder,))
    walk.found |= set(configured_files(read, paths))
    seen: set[str] = set()
    while (todo := walk.found - walk.tasks - seen) and len(seen) < _MOST_FILES:
        path = min(todo)
        seen.add(path)
        walk.follow_file(path)
    # A test is judged by its outcomes, and a manifest by its parts.
    others = (path for path in walk.found if not TEST_PATH.search(path))
    return frozenset(path for path in others if not MANIFEST.search(path))


class _Walk:
    def __init__(self, read: ReadFile, paths: Collection[str]) -> None:
        self._read = read
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._lines_left = _MOST_LINES
        self._paths = frozenset(paths)
        self._folders = {
            str(parent) for path in self._paths for parent in PurePosixPath(path).parents
        }
        self.found: set[str] = set()
        #: The files with tasks, which are read as such, not as scripts.
        self.tasks: set[str] = set()

    def follow_file(self, path: str) -> None:
        """Find what a file of the base runs or loads in turn."""
        text = self._text(path)
        folder = posixpath.dirname(path)
        name = posixpath.basename(path)
        if path.endswith(".py"):
            # At the top stand the sources themselves.
            if folder:
                self._siblings(folder, _SIBLING.findall(text))
            self._quoted(text, folder)
        elif re.search(r"\.[cm]?[jt]s$", path):
            for word in _REQUIRED.findall(text):
                stem = posixpath.normpath(posixpath.join(folder, word))
                if not stem.startswith(("src/", "lib/")):
                    self._add_first(stem, f"{stem}.js", f"{stem}.mjs", f"{stem}.cjs", f"{stem}.ts")
        elif _SCRIPT.search(name) or "." not in name:
            self.follow_text(text, tuple(dict.fromkeys((folder, ""))))

    def follow_text(self, text: str, folders: tuple[str, ...]) -> None:
        """Find what the lines of a shell run, beginning in any of these folders."""
        words_left = _MOST_WORDS
        here, outer = folders, list[tuple[str, ...]]()
        text = _VARIABLE.sub(r"${\1}", text.replace("\\\n", " ")).replace("${MAKE}", "make")
        parts = _SIGNS.split(text)
        for step, sign in zip_longest(parts[::2], parts[1::2]):
            words = _words(step)
            words_left -= len(words)
            if words_left < 0:
                return
            if words[:1] in (["cd"], ["pushd"], ["popd"]):
                # A folder that only the shell knows is the first one, such as that of the script.
                here = self._moved(here, words[1:2]) or folders
            else:
                for at in here:
                    self._step(words, at)
                    self._in_members(words, at)
            if sign == "(" or words[-1:] == ["{"]:
                outer.append(here)
            elif outer and (sign == ")" or words[:1] == ["}"]):
                here = outer.pop()

    def _moved(self, here: tuple[str, ...], words: list[str]) -> tuple[str, ...]:
        moved = (_joined(at, HERE.sub("", word)) for word in words for at in here)
        return tuple(at for at in dict.fromkeys(moved) if at in self._folders)

    def _step(self, words: list[str], at: str) -> None:
        folders = [at]
        before, awaits_program, runs_lines = "", True, False
        for word in words:
            option, equals, value = word.partition("=")
            option, named = (option, value) if equals else (before, word)
            named = HERE.sub("", named).lstrip("/")
            if option in _FOLDER_OPTIONS:
                folder = _joined(at, named)
                folders += [folder] if folder in self._folders else self._packages.get(named, ())
            called = posixpath.basename(word).strip("${}").lower()
            is_program = awaits_program and not (
                equals or word.startswith("-") or before in _VALUED
            )
            is_loaded = option in _LOADING_OPTIONS or (equals and option.startswith("-"))
            is_module = _names_module(option, words, is_run=awaits_program)
            for folder in folders:
                if is_loaded or is_program or not _SOURCE.search(named):
                    self._file_or_module(named, folder, option, is_module=is_module)
                self._follow_tasks({_joined(folder, path) for path in _TASK_FILES.get(called, ())})
            if awaits_program and _COMMAND.fullmatch(before):
                self.follow_text(word, (at,))
            runs_lines |= is_program and called in _RUN_LINES
            awaits_program = _runs_the_next(word, called, is_program=is_program) or (
                awaits_program and not is_program
            )
            before = word
        if runs_lines:
            for folder in folders:
                self._lines(words, folder)

    @cached_property
    def _packages(self) -> dict[str, list[str]]:
        """The folders of packages of Node, by the name by which a command may choose them."""
        folders: dict[str, list[str]] = {}
        manifests = (path for path in self._paths if posixpath.basename(path) == "package.json")
        for path in sorted(manifests)[:_MOST_FILES]:
            folder = posixpath.dirname(path)
            package = read_package(BaseFiles(self._read, self._paths).below(folder))
            if package and package.name:
                folders.setdefault(package.name, []).append(folder)
        return folders

    def _in_members(self, words: list[str], at: str) -> None:
        """Follow the scripts that a step runs in each member of a workspace of Node."""
        if not runs_all_members(" ".join(words)):
            return
        files = BaseFiles(self._read, self._paths).below("" if at == "." else at)
        package = read_package(files)
        for member in members_of(files, package) if package else ():
            self._lines(["npm", *words], _joined(at, member))

    def _follow_tasks(self, paths: set[str]) -> None:
        """Find the files that the tasks run which these files describe."""
        for path in (paths & self._paths) - self.tasks:
            self.tasks.add(path)
            text = self._text(path)
            folder = posixpath.dirname(path)
            modules = _TASK.findall(text)
            words = [*modules, *(f"{m.replace('.', '/')}.py" for m in modules)]
            words += (f"{m.replace('.', '/')}/__main__.py" for m in modules)
            words += (word for word in _OWN_PROGRAM.findall(text) if not _SOURCE.search(word))
            self.found |= self._paths & {path, *(_joined(folder, word) for word in words)}

    def _lines(self, words: list[str], folder: str) -> None:
        """Follow the lines that make or npm runs for a step in a folder."""
        key = (folder, tuple(words))
        if key in self._seen or self._lines_left < 0:
            return
        self._seen.add(key)
        lines, included = lines_run(lambda path: self._read_below(folder, path), [" ".join(words)])
        self._lines_left -= len(lines) + 1
        for path in included:
            self._add_first(_joined(folder, path))
        for line in lines:
            if not line.startswith(":"):
                self.follow_text(line, (folder,))

    def _read_below(self, folder: str, path: str) -> bytes | None:
        path = _joined(folder, path)
        return self._read(path) if path in self._paths else None

    def _file_or_module(self, word: str, at: str, option: str, *, is_module: bool) -> None:
        if self._add_first(_joined(at, word)):
            return
        # Mocha completes a path without a dot too.
        if option in {"-r", "--require"} or (word.startswith(".") and option in _LOADING_OPTIONS):
            self._add_first(*(f"{_joined(at, word)}{suffix}" for suffix in _SUFFIXES))
        if is_module and re.fullmatch(r"[\w.]+", word):
            for top in ("", "src/"):
                stem = _joined(at, top + word.replace(".", "/"))
                self._add_first(f"{stem}.py", f"{stem}/__main__.py", f"{stem}/__init__.py")

    def _text(self, path: str) -> str:
        return (self._read(path) or b"")[:_MOST_BYTES].decode(errors="replace")

    def _siblings(self, folder: str, imports: Iterable[tuple[str, str]]) -> None:
        for module, name in imports:
            stem = module.replace(".", "/")
            # `from tools import other` names a module of the folder, or a value of a module.
            for at in (stem, f"{stem}/{name}", name) if name else (stem,):
                self._add_first(f"{folder}/{at}.py", f"{folder}/{at}/__init__.py")
                if at.startswith(f"{folder}/"):
                    self._add_first(f"{at}.py", f"{at}/__init__.py")

    def _quoted(self, text: str, folder: str) -> None:
        """Find the scripts and configurations that a program names in its texts."""
        for word in re.findall(r"""["']([\w./-]{1,200})["']""", text):
            if _SCRIPT.search(word):
                self._add_first(_joined("", word), _joined(folder, word))

    def _add_first(self, *paths: str) -> bool:
        for path in paths:
            if path in self._paths:
                self.found.add(path)
                return True
        return False


def _joined(folder: str, word: str) -> str:
    return posixpath.normpath(posixpath.join(folder, word)) if word else folder


def _names_module(option: str, words: list[str], *, is_run: bool) -> bool:
    """Return whether the value of an option is a module that the program loads."""
    # `pytest -m slow` and `mypy -p shop` load none.
    if option == "-m":
        return is_run
    return option == "--settings" or (option == "-p" and "mypy" not in words)


def _runs_the_next(word: str, called: str, *, is_program: bool) -> bool:
    """Return whether the next word of a step is a program in turn."""
    # A variable may name an interpreter.
    if is_program and (word.startswith("$") or word in _SOURCED):
        return True
    return word in WRAPPERS or _INTERPRETER.fullmatch(called) is not None


def _words(step: str) -> list[str]:
    try:
        return shlex.split(step.strip().lstrip("@+-"))
    except ValueError:
        # The step is a part of a text in quotes.
        return [word.strip("\"'") for word in step.split()]
