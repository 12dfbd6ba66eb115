"""The changed files that a gate read and that are neither sources nor tests. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.gates.check_files import CheckFile, check_file
from orchestrator.gates.command_files import Steps
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

KIND = "gate-file-changed"
_MOST_FINDINGS = 50
#: The gates whose subject is what the program does. The subject of all others is the text of files,
#: so they read most files of the tree.
_RUNNING = frozenset({"tests", "integration", "coverage"})

_SOURCE = re.compile(
    r"\.(pyi?|pyx|pxd|[cm]?[jt]sx?|vue|svelte|go|rs|[ch](c|pp|xx)?|hh|java|kts?|scala|rb|php|swift"
    r"|cs|exs?|erl|clj|hs|ml)$"
)
#: What a program shows or stores; no known test runner reads its options from such a file.
_ASSET = re.compile(
    r"\.(html?|css|s[ac]ss|less|svg|png|jpe?g|gif|ico|webp|woff2?|ttf|sql|csv|tsv|po|mo|pot"
    r"|jinja2?|j2|mustache|hbs|graphql|gql|proto|xsd|xslt?)$"
)
_DOCUMENT = re.compile(r"\.(md|rst|adoc)$|(^|/)(LICEN[CS]E|NOTICE|AUTHORS|CHANGELOG|README)[^/]*$")
#: They name dependencies. Their parts that configure checks have findings of their own.
MANIFEST = re.compile(
    r"(^|/)(pyproject\.toml|setup\.cfg|package(-lock)?\.json|npm-shrinkwrap\.json|go\.(mod|sum)"
    r"|Cargo\.(toml|lock)|requirements[^/]*\.(txt|in)|Pipfile(\.lock)?|\.?gitattributes"
    r"|(poetry|uv|pdm|yarn|bun)\.lockb?|pnpm-lock\.yaml|MANIFEST\.in|\.gitignore)$"
)
#: Programs and configuration by their names, in the languages of sources.
_BY_NAME = re.compile(
    r"(^|/)(setup|tasks|fabfile|noxfile|dodo|build)\.(py|rs)$|(^|/)(gulpfile|Gruntfile)[^/]*$"
    r"|\.conf(ig)?\.[cm]?[jt]s$|(^|/)((build|settings)\.gradle\.kts|mix\.exs|Package\.swift"
    r"|(project|build)\.clj|(angular|project|nx|turbo)\.json)$"
)
#: Folders of tools, as repositories name them.
_TOOL_FOLDER = re.compile(r"(^|/)(\.[^/]+|tools?|scripts?|ci|hack|dev(tools)?|harness|testing)/")
#: A word of a name that speaks of tests.
_TEST_WORD = re.compile(
    r"(?:^|[/._-])(?:(?:py|unit)?tests?(?:ing|er|ers|utils?|lib|kit|helpers?|support)?|assert(?:s|ions?)?"
    r"|fixtures?|mocks?|harness|goldens?|snapshots?|baselines?|cassettes?|expected|expectations?)"
    r"(?=[/._-]|$)",
    re.IGNORECASE,
)
#: A source that imports a test framework or a check tool, or defines a hook of one.
_FRAMEWORK = re.compile(
    rb"""^[ \t]*(?:from|import)[ \t][^#\n]{0,200}?\b(?:_?pytest|unittest|hypothesis|nose2?|pluggy
        |coverage|mypy|pylint|flake8|xdist|tox|nox)\b
    | (?:import_module|__import__)\(\s{0,9}["'](?:_?pytest|unittest|pluggy|coverage)\b
    | \bdef[ \t]+pytest_\w | \bdef[ \t]+load_tests\b | \bpytest_plugins\b
    | (?:require\(|\bfrom\b|\bimport\b\(?)\s{0,9}["'](?:node:test|vitest|@jest/|jest|mocha|chai
        |@playwright/test|eslint|c8|nyc)\b
    | ^\s{0,9}(?:import\s{1,9})?(?:\w{1,20}\s{1,9})?"testing"\s{0,9}$""",
    re.MULTILINE | re.VERBOSE,
)


def is_source(path: str) -> bool:
    """Return whether a path has the name of a source."""
    return _SOURCE.search(path) is not None


def gate_files(
    changes: Iterable[FileChange],
    reads: Mapping[str, Iterable[str]],
    commands: Sequence[str],
    files: Container[str],
    data: Container[str] = (),
) -> tuple[Finding, ...]:
    """Return a finding for each changed file that gates read and that may decide their result.

    `reads` has the paths that each gate read, by the name of the gate; `commands` and
    `files` are those of `find_tampering`; `data` are the changed files that stand in folders of
    sources.
    """
    reader = _Reader(tuple(commands), Steps(commands), files, data)
    by_path: dict[str, list[str]] = {}
    for gate, paths in reads.items():
        for path in paths:
            by_path.setdefault(path, []).append(gate)
    found = [
        finding
        for change in changes
        if change.path in by_path
        for finding in reader.of_file(change, sorted(by_path[change.path]))
    ]
    shown = found[:_MOST_FINDINGS]
    if len(found) > len(shown):
        more = f"and {len(found) - len(shown)} more, the last of them here"
        shown.append(found[-1].model_copy(update={"detail": more}))
    return tuple(shown)


@dataclass(frozen=True)
class _Reader:
    commands: tuple[str, ...]
    steps: Steps
    files: Container[str]
    data: Container[str]

    def of_file(self, change: FileChange, gates: list[str]) -> Iterator[Finding]:
        """Yield the finding of one file that these gates read."""
        if why := self._why(change, runs=not _RUNNING.isdisjoint(gates)):
            verb = "gates" if len(gates) > 1 else "gate"
            detail = f"the {verb} {', '.join(gates)} read it, and it is not that of the base: {why}"
            yield Finding(kind=KIND, path=change.path, detail=detail)

    def _why(self, change: FileChange, *, runs: bool) -> str:
        kind = check_file(change, self.steps, self.files)
        if kind in (CheckFile.TEST, CheckFile.MADE):
            # The base's tests check the change too; made files are those of the base.
            return ""
        if kind is not None:
            # The text of a conftest.py decides whether it is more than a test.
            is_test = PurePosixPath(change.path).name == "conftest.py"
            return "" if is_test else f"it is a {kind.value} file of the checks"
        if runs and _is_option(change.path, self.commands):
            return "a command names it in an option"
        why = _why(change, is_data=change.path in self.data)
        # A linter reads each file, so only what it runs or obeys decides its result.
        return why if runs or _decides_texts(change) else ""


def _is_option(path: str, commands: Sequence[str]) -> bool:
    named = re.compile(rf"""[=,:]["']?(?:\./)?{re.escape(path)}(?![\w./-])""")
    return any(named.search(command) for command in commands)


def _why(change: FileChange, *, is_data: bool) -> str:
    """Return why a file is neither a source nor data of one; empty if it is."""
    path = change.path
    if _DOCUMENT.search(path) or MANIFEST.search(path):
        return ""
    reasons = (
        (_BY_NAME.search(path), "its name is that of a program or a configuration of tools"),
        (is_source(path) and _is_helper(change), "it imports or extends a test runner or a check"),
        (_TOOL_FOLDER.search(path), "it is in a folder of tools"),
        (_TEST_WORD.search(path), "its name is that of a part of tests"),
        (
            not (is_source(path) or _is_data(path, is_near=is_data)),
            "it is neither a source nor a test",
        ),
    )
    return next((why for holds, why in reasons if holds), "")


def _is_data(path: str, *, is_near: bool) -> bool:
    is_hidden = PurePosixPath(path).name.startswith(".")
    return _ASSET.search(path) is not None or (is_near and not is_hidden)


def _is_helper(change: FileChange) -> bool:
    return any(_FRAMEWORK.search(side or b"") for side in (change.before, change.after))


def _decides_texts(change: FileChange) -> bool:
    path = PurePosixPath(change.path)
    if is_source(change.path):
        return _is_helper(change) or _BY_NAME.search(change.path) is not None
    is_script = any((side or b"").startswith(b"#!") for side in (change.before, change.after))
    return is_script or path.suffix in {".sh", ".bash", ".mk", ".ini", ".cfg", ".conf", ".toml"}
