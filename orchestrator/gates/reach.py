"""The files of the base commit that gates' commands run, followed through scripts. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from orchestrator.gates.command_files import lines_run
from orchestrator.gates.config_files import configured_files
from orchestrator.gates.deleted_tests import TEST_PATH
from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.detectors._node_packages import members_of, read_package, runs_all_members
from orchestrator.repo_config import ReadFile

#: Limits of the work for one plan.
_MOST_FILES = 200
_MOST_BYTES = 2**18
_MOST_WORDS = 20_000
_STEPS = re.compile(r"&&|\|\||[;|\n()]")
#: Options whose value is a folder in which the command works.
_FOLDER_OPTIONS = frozenset({
    "-C", "--directory", "--prefix", "--cwd", "--dir", "--rootdir", "--root", "-w", "--workspace",
    "--filter", "-F",
})  # fmt: skip
#: Options whose value is a file or a module that the program loads.
_LOADING_OPTIONS = frozenset({
    "-c", "--config", "--config-file", "--configuration", "-p", "-r", "--require", "--import",
    "--loader", "--experimental-loader", "--rcfile", "-f", "--file", "--makefile", "--setup",
    "--setup-file", "--settings", "--env-file", "--noxfile", "--conf", "--project", "-m",
    "--test-reporter", "--globalSetup", "--setupFiles",
})  # fmt: skip
#: The programs whose first argument without a dash is a program in turn.
_INTERPRETER = re.compile(r"(?:python[\d.]*|(?:ba|da|z|k)?sh|node|tsx|ts-node|ruby|perl|source|\.)")
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
    walk.found |= set(configured_files(read, paths)) | walk.run_by_tasks()
    seen: set[str] = set()
    while (todo := walk.found - seen) and len(seen) < _MOST_FILES:
        path = min(todo)
        seen.add(path)
        text = (read(path) or b"")[:_MOST_BYTES].decode(errors="replace")
        walk.follow_file(path, text)
    # A test is judged by its outcomes; its edits are no edits of a program.
    return frozenset(path for path in walk.found if not TEST_PATH.search(path))


class _Walk:
    def __init__(self, read: ReadFile, paths: Collection[str]) -> None:
        self._read = read
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._paths = paths if isinstance(paths, set | frozenset) else frozenset(paths)
        self._folders = {
            str(parent) for path in self._paths for parent in PurePosixPath(path).parents
        } - {"."}
        self.found: set[str] = set()
        self._tasks: set[str] = set()

    def follow_file(self, path: str, text: str) -> None:
        """Find what a file of the base runs or loads in turn."""
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

    def run_by_tasks(self) -> set[str]:
        """Return the files that the tasks run whose programs were met so far."""
        found: set[str] = set()
        for path in sorted(self._tasks):
            text = (self._read(path) or b"")[:_MOST_BYTES].decode(errors="replace")
            folder = posixpath.dirname(path)
            modules = _TASK.findall(text)
            words = [*modules, *(f"{m.replace('.', '/')}.py" for m in modules)]
            words += (f"{m.replace('.', '/')}/__main__.py" for m in modules)
            words += (word for word in _OWN_PROGRAM.findall(text) if not _SOURCE.search(word))
            found |= self._paths & {_joined(folder, word) for word in words}
        return found

    def follow_text(self, text: str, folders: tuple[str, ...]) -> None:
        """Find what the lines of a shell run, beginning in any of these folders."""
        words_left = _MOST_WORDS
        here = folders
        for step in _STEPS.split(text.replace("\\\n", " ")):
            words = _words(step)
            words_left -= len(words)
            if words_left < 0:
                return
            if words[:1] == ["cd"] and len(words) > 1:
                here = tuple(posixpath.normpath(posixpath.join(at, words[1])) for at in here)
                continue
            for at in here:
                self._step(words, "" if at == "." else at)
                self._in_members(words, "" if at == "." else at)

    def _step(self, words: list[str], at: str) -> None:
        folders = [at]
        before, has_program, is_interpreted, runs_lines = "", False, False, False
        for word in words:
            option, equals, value = word.partition("=")
            named = value if equals else word
            if (before in _FOLDER_OPTIONS or option in _FOLDER_OPTIONS) and (
                (folder := _joined(at, named)) in self._folders
            ):
                folders.append(folder)
            is_loaded = before in _LOADING_OPTIONS or (equals and option.startswith("-"))
            is_program = not word.startswith("-") and not equals and not has_program
            if is_program and _INTERPRETER.fullmatch(posixpath.basename(word)):
                is_interpreted = True
            elif is_program:
                has_program = True
                runs_lines |= posixpath.basename(word) in _RUN_LINES
            if is_loaded or is_program or not _SOURCE.search(named):
                for folder in folders:
                    self._file_or_module(named, folder, before, is_interpreted=is_interpreted)
            for folder in folders:
                files = (_joined(folder, file) for file in _TASK_FILES.get(word, ()))
                self._tasks |= self._paths & set(files)
            before = word
        if runs_lines:
            for folder in folders:
                self._lines(words, folder)

    def _in_members(self, words: list[str], at: str) -> None:
        """Follow the scripts that a step runs in each member of a workspace of Node."""
        if not runs_all_members(" ".join(words)):
            return
        files = BaseFiles(self._read, self._paths).below(at)
        package = read_package(files)
        for member in members_of(files, package) if package else ():
            self._lines(["npm", *words], _joined(at, member))

    def _lines(self, words: list[str], folder: str) -> None:
        """Follow the lines that make or npm runs for a step in a folder."""
        key = (folder, tuple(words))
        if key in self._seen or len(self._seen) > _MOST_FILES:
            return
        self._seen.add(key)
        lines, included = lines_run(lambda path: self._read_below(folder, path), [" ".join(words)])
        for path in included:
            self._add_first(_joined(folder, path))
        for line in lines:
            if not line.startswith(":"):
                self.follow_text(line, (folder,))

    def _read_below(self, folder: str, path: str) -> bytes | None:
        path = _joined(folder, path)
        return self._read(path) if path in self._paths else None

    def _file_or_module(self, word: str, at: str, before: str, *, is_interpreted: bool) -> None:
        if self._add_first(_joined(at, word)):
            return
        if word.startswith(".") and before in _LOADING_OPTIONS:
            self._add_first(*(f"{_joined(at, word)}{suffix}" for suffix in _SUFFIXES))
        if before in {"-m", "-p", "--settings"} and re.fullmatch(r"[\w.]+", word):
            stem = _joined(at, word.replace(".", "/"))
            if before == "-m" and not is_interpreted:
                return
            for top in ("", "src/"):
                self._add_first(
                    f"{top}{stem}.py", f"{top}{stem}/__main__.py", f"{top}{stem}/__init__.py"
                )

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


def _words(step: str) -> list[str]:
    try:
        return shlex.split(step.strip().lstrip("@+-"))
    except ValueError:
        return step.split()
