"""What a change does to its own judges: tests, thresholds, configuration, tools. Pure."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from orchestrator.models import Finding
from orchestrator.ports import FileChange

#: One file may hold a hundred thousand; a report is for people, and kept.
MOST_OF_A_KIND = 50
_DETAIL_CHARACTERS = 200

_TEST_PATH = re.compile(
    r"(^|/)(tests?|__tests__|specs?)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$|_test\.go$"
    r"|\.(test|spec)\.[cm]?[jt]sx?$"
)
#: The files that test runners find wherever they stand.
_NAMED_TEST_PATH = re.compile(
    r"(^|/)(test_[^/]*|[^/]*_test)\.py$|_test\.go$|\.(test|spec)\.[cm]?[jt]sx?$|\.rs$"
)
# The agent writes what these read: a run of blanks that may begin anywhere has a bound, or stays
# on its line, or the search takes time that is the square of its length.
#: How test frameworks name one test; the group is the name, or the title of it.
_TEST = re.compile(
    r"""^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)|^func[ \t]+(Test\w+)"""
    r"""|\b(?:it|test)(?:\.\w+)?\(\s*["'`]([^"'`]+)""",
    re.MULTILINE,
)
_RUST_TEST = re.compile(
    r"#\[(?:\w{1,99}::)?test\b[^\]\n]{0,99}\]\s*(?:#\[[^\]\n]{0,99}\]\s*){0,9}"
    r"(?:pub\s+)?(?:async\s+)?fn\s+(\w+)"
)
_CI_PATH = re.compile(
    r"^\.(github|gitea|forgejo)/(workflows|actions)/|^\.gitlab-ci\.ya?ml$|^\.gitlab/ci/|^\.circleci/|^Jenkinsfile$|^azure-pipelines"
    r"|^\.pre-commit-config\.yaml$"
)
_CONFIG_PATH = re.compile(
    r"(^|/)(\.coveragerc|\.flake8|\.?ruff\.toml|\.?mypy\.ini|\.?pytest\.(ini|toml)|tox\.ini"
    r"|pyrightconfig\.json|\.?eslint(rc|\.config)[^/]*|tsconfig[^/]*\.json|\.nycrc[^/]*|\.c8rc[^/]*"
    r"|(jest|vitest|vite|karma)\.config\.[^/]+|\.mocharc[^/]*|\.golangci\.[^/]+|\.?clippy\.toml"
    r"|\.npmrc|\.yarnrc(\.yml)?|\.pnpmfile\.cjs|\.eslintignore|\.?pylintrc(\.toml)?"
    r"|\.cargo/config(\.toml)?)$"
)
_THRESHOLD = re.compile(
    r"\b(fail[_-]under|cov-fail-under|minimum|branches|functions|lines|statements|check-coverage)"
    r"""["']?(?:\s{0,20}[:=]\s{0,20}|\s{1,20})(\d+(?:\.\d+)?)"""
)
_THRESHOLD_PATH = re.compile(r"\.(toml|cfg|ini|json|ya?ml|[cm]?[jt]s)$|(^|/)(\.\w+rc|Makefile)$")
#: Tables of pyproject.toml, sections of setup.cfg, keys of package.json that configure judges.
_JUDGES = frozenset({
    "orchestrator", "pytest", "coverage", "mypy", "ruff", "flake8", "pyright", "pylint", "tox",
    "jest", "vitest", "c8", "nyc", "mocha", "eslintConfig",
})  # fmt: skip
#: As configparser takes it: blanks may stand before it, anything after it.
_INI_HEADING = re.compile(r"^[ \t]*\[(?:tool:)?(\w+)\b[^\]\n]*\]", re.MULTILINE)
#: The part of package.json, made here, of judges that come from an address of their own.
_FROM_ELSEWHERE = "addresses of judges"
_KIND_OF_PART = {
    "orchestrator": "gate-config-edited",
    "scripts": "gate-command-edited",
    _FROM_ELSEWHERE: "tool-shadowed",
}
_DEPENDENCIES = (
    "dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions",
)  # fmt: skip
_NEAR_PARTS = 2
_STEPS = re.compile(r"&&|\|\||[;|\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_INTERPRETER = re.compile(r"python[\d.]*|(ba|da|z)?sh|node|ruby|perl|deno|bun")
_TOOL = re.compile(r"[a-zA-Z][\w-]*")
#: Tools that a plan often runs through another (make, npm, tox), and what they import.
_TOOLS = frozenset({
    "unittest", "pytest", "coverage", "mypy", "ruff", "flake8", "pyright", "tox", "nox", "jest",
    "vitest", "mocha", "eslint", "tsc", "nyc", "c8", "_pytest", "pluggy", "iniconfig", "xdist",
    "pytest_cov", "mypyc", "mypy_extensions", "typing_extensions", "pycodestyle", "pyflakes",
})  # fmt: skip
_PYTHON_HOOKS = re.compile(r"(^|/)((site|user)customize\.py|[^/]+\.pth)$")


@dataclass(frozen=True)
class _LineRule:
    """A line that may not be added to files of these paths."""

    kind: str
    path: re.Pattern[str]
    line: re.Pattern[str]


_LINE_RULES = (
    _LineRule(
        "test-skipped",
        _TEST_PATH,
        re.compile(
            r"pytest\.mark\.(skip|skipif|xfail)\b|pytest\.(skip|importorskip)\(|SkipTest\b"
            r"|unittest\.(skip|skipIf|skipUnless|expectedFailure)\b|self\.skipTest\("
            r"|\b(it|test|describe|suite)\.(skip|todo|only|fails)\b|\bx(it|test|describe)\("
            r"|\bt\.Skip(Now|f)?\("
        ),
    ),
    _LineRule(
        "test-skipped",
        re.compile(r"\.rs$"),
        re.compile(r"#\[\s{0,9}(cfg_attr\(.{0,200})?\bignore\b"),
    ),
    _LineRule(
        "suppression-added",
        re.compile(r"\.(pyi?|[cm]?[jt]sx?|go|rs|vue|svelte)$"),
        re.compile(
            r"#\s*noqa(?!\s*:)|#\s*(ruff|flake8)\s*:\s*noqa|#\s*type:\s*ignore(?!\[)|#\s*pragma:\s*no\s*cover"
            r"|#\s*pyright:\s*ignore(?!\[)|#\s*mypy:\s*ignore-errors|#\s*pylint:\s*(skip-file|disable=all)"
            r"|eslint-disable(-next-line|-line)?\s*(\*/|--|$)|@ts-(nocheck|ignore)\b"
            r"|(istanbul|c8)\s+ignore|//\s*nolint(?!:)|#!\[allow\("
        ),
    ),
    _LineRule(
        "collection-changed",
        re.compile(r"(^|/)conftest\.py$"),
        re.compile(
            r"\b(collect_ignore|collect_ignore_glob|pytest_collection\w*|pytest_ignore_collect"
            r"|pytest_(py)?collect\w*|pytest_configure|pytest_sessionfinish|pytest_runtest\w*"
            r"|pytest_cmdline\w*|pytest_plugins)\b|os\._exit"
            # What it imports runs as well, and may stand in a file of any name.
            r"|^(?!\s*(import\s+pytest|from\s+__future__\s+import\s+\w+)\s*$)"
            r"(.*[;:])?\s*(import\s|from\s+[\w.]+\s+import\b)|__import__|\bimportlib\b|\bexec\("
        ),
    ),
    _LineRule(
        "collection-changed",
        re.compile(r"(^|/)Cargo\.toml$"),
        re.compile(r"""\b(test|doctest|harness|autotests)["']?\s*=\s*false\b"""),
    ),
)


def find_tampering(changes: Iterable[FileChange], commands: Sequence[str]) -> tuple[Finding, ...]:
    """Return what a change does to the judges of it; `commands` are those of its plan.

    Only what is new counts: what stood in the base commit is nobody's finding. Of each kind the
    first MOST_OF_A_KIND are told, and one more that says how many others there are.
    """
    changes = tuple(changes)
    plan = _Plan(commands)
    found = (finding for change in changes for finding in _of_file(change, plan))
    return tuple(_first(chain(found, _lost_tests(changes))))


def _first(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first of each kind, and for the rest of it one that counts them."""
    counts: Counter[str] = Counter()
    rest: dict[str, Finding] = {}
    for finding in findings:
        counts[finding.kind] += 1
        if counts[finding.kind] <= MOST_OF_A_KIND:
            yield finding
        else:
            rest.setdefault(finding.kind, finding)
    for kind, finding in rest.items():
        detail = f"and {counts[kind] - MOST_OF_A_KIND} more, the first of them here"
        yield finding.model_copy(update={"detail": detail})


class _Plan:
    """What the plan's commands run: files of the tree, tools that may be shadowed."""

    def __init__(self, commands: Sequence[str]) -> None:
        steps = [_words(step) for command in commands for step in _STEPS.split(command)]
        # What a tool is pointed at is judged by it; what is run judges.
        self.files = frozenset(str(PurePosixPath(word)) for word in map(_run_by, steps) if word)
        words = {PurePosixPath(word).name for step in steps for word in step}
        self.tools = _TOOLS | {word for word in words if _TOOL.fullmatch(word)}
        self.uses_make = "make" in words
        self.uses_scripts = bool(words & {"npm", "npx", "pnpm", "yarn"})


def _words(step: str) -> list[str]:
    try:
        return shlex.split(step)
    except ValueError:
        return step.split()


def _run_by(words: list[str]) -> str | None:
    program, *arguments = [word for word in words if not _ASSIGNMENT.match(word)] or [""]
    if _INTERPRETER.fullmatch(PurePosixPath(program).name):
        return next((word for word in arguments if not word.startswith("-")), None)
    return program or None


def _of_file(change: FileChange, plan: _Plan) -> Iterator[Finding]:
    path, name = change.path, PurePosixPath(change.path).name
    if path in plan.files:
        yield Finding(kind="gate-command-edited", path=path, detail="a gate runs this file")
    if path == "orchestrator.toml":
        yield Finding(kind="gate-config-edited", path=path, detail="it says what the gates run")
    if name in ("Makefile", "GNUmakefile", "makefile") and plan.uses_make:
        yield Finding(kind="gate-command-edited", path=path, detail="a gate runs make")
    if _CI_PATH.search(path):
        yield Finding(kind="ci-config-edited", path=path, detail="CI runs what it says")
    if _CONFIG_PATH.search(path):
        yield Finding(kind="judge-config-edited", path=path, detail="it configures a judge")
    yield from _linked(change)
    yield from _shadowed(change, plan)
    yield from _sections(change, plan)
    yield from _thresholds(change)
    for rule in _LINE_RULES:
        if rule.path.search(path):
            for number, line in _added_lines(change):
                if rule.line.search(line):
                    shown = line.strip()[:_DETAIL_CHARACTERS]
                    yield Finding(kind=rule.kind, path=path, line=number, detail=shown)


def _linked(change: FileChange) -> Iterator[Finding]:
    # The content of a link is where it points to, and has no end of line.
    is_link = bool(change.after) and b"\n" not in (change.after or b"")
    if PurePosixPath(change.path).name == "conftest.py" and (
        is_link or change.before == change.after
    ):
        detail = "its mode differs, or it is a symbolic link"
        yield Finding(kind="collection-changed", path=change.path, detail=detail)


def _shadowed(change: FileChange, plan: _Plan) -> Iterator[Finding]:
    if change.after is None:
        return
    path = PurePosixPath(change.path)
    is_hook = _PYTHON_HOOKS.search(change.path) is not None
    is_compiled = path.suffix in {".so", ".pyd"}
    stem = path.name.partition(".")[0] if is_compiled else path.stem
    name = path.parent.name if path.name == "__init__.py" else stem
    # On Python's path stand the top of the tree and its first folders (src, tests).
    is_near = len(path.parts) <= _NEAR_PARTS + (path.name == "__init__.py")
    is_bin = path.parent.name == ".bin"
    is_tool = name in plan.tools and (is_bin or (is_near and change.before is None))
    if is_hook or is_tool:
        detail = "Python runs it at every start" if is_hook else f"it stands in for {name}"
        yield Finding(kind="tool-shadowed", path=change.path, detail=detail)


def _sections(change: FileChange, plan: _Plan) -> Iterator[Finding]:
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "pyproject.toml": lambda text: tomllib.loads(text).get("tool", {}),
        "package.json": _package_parts,
        "setup.cfg": _ini_sections,
    }
    read = readers.get(PurePosixPath(change.path).name)
    if read is None:
        return
    try:
        before, after = (
            read(_text(side)) if side else {} for side in (change.before, change.after)
        )
        watched = _JUDGES | {_FROM_ELSEWHERE} | ({"scripts"} if plan.uses_scripts else set())
        edited = sorted(name for name in watched if before.get(name) != after.get(name))
    except (ValueError, AttributeError, RecursionError) as error:
        yield Finding(kind="judge-config-edited", path=change.path, detail=f"unreadable: {error}")
        return
    for name in edited:
        kind = _KIND_OF_PART.get(name, "judge-config-edited")
        yield Finding(kind=kind, path=change.path, detail=f"its part {name} differs")


def _package_parts(text: str) -> dict[str, Any]:
    parts = json.loads(text)
    wanted = (parts.get(group) or {} for group in _DEPENDENCIES)
    # A version, a range or a tag has neither: what has is a path, an address, another package.
    elsewhere = [
        (name, str(version))
        for versions in wanted
        for name, version in versions.items()
        if name in _TOOLS | {"typescript"} and set(":/") & set(str(version))
    ]
    return {**parts, _FROM_ELSEWHERE: elsewhere or None}


def _ini_sections(text: str) -> dict[str, str]:
    """Return what stands under each tool's name: all of its sections, with their headings."""
    sections: dict[str, str] = {}
    starts = list(_INI_HEADING.finditer(text))
    ends = [heading.start() for heading in starts[1:]]
    for heading, end in zip(starts, [*ends, len(text)], strict=False):
        sections[heading[1]] = sections.get(heading[1], "") + text[heading.start() : end]
    return sections


def _thresholds(change: FileChange) -> Iterator[Finding]:
    if not _THRESHOLD_PATH.search(change.path) or change.before is None:
        return
    before, after = (_least(_text(side)) for side in (change.before, change.after or b""))
    for name, least in before.items():
        now = after.get(name)
        if now is None or now < least:
            detail = f"{name} was {least:g}, is {'gone' if now is None else f'{now:g}'}"
            yield Finding(kind="threshold-lowered", path=change.path, detail=detail)


def _least(text: str) -> dict[str, float]:
    least: dict[str, float] = {}
    for name, number in _THRESHOLD.findall(text):
        least[name] = min(least.get(name, float("inf")), float(number))
    return least


def _lost_tests(changes: Sequence[FileChange]) -> Iterator[Finding]:
    """A test that was moved is still there; one that was renamed shows as lost, to be looked at.

    It is still there only where it is run: one whose file had a test's name, in another such.
    """
    named: set[str] = set()
    placed: dict[str, set[str]] = {}
    for change in changes:
        if _NAMED_TEST_PATH.search(change.path):
            named |= _tests(change.path, change.after)
        elif _TEST_PATH.search(change.path):
            kept = placed.setdefault(PurePosixPath(change.path).suffix, set())
            kept |= _tests(change.path, change.after)
    for change in changes:
        is_named = _NAMED_TEST_PATH.search(change.path)
        if is_named or _TEST_PATH.search(change.path):
            kept = named if is_named else named | placed[PurePosixPath(change.path).suffix]
            for name in sorted(_tests(change.path, change.before) - kept):
                detail = f"{name[:_DETAIL_CHARACTERS]} is gone"
                yield Finding(kind="test-deleted", path=change.path, detail=detail)


def _tests(path: str, content: bytes | None) -> set[str]:
    pattern = _RUST_TEST if path.endswith(".rs") else _TEST
    return {next(filter(None, found.groups())) for found in pattern.finditer(_text(content or b""))}


def _added_lines(change: FileChange) -> Iterator[tuple[int, str]]:
    known = Counter(_text(change.before or b"").splitlines())
    for number, line in enumerate(_text(change.after or b"").splitlines(), start=1):
        if known[line]:
            known[line] -= 1
        else:
            yield number, line


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
