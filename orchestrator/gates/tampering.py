"""The edits of a change that weaken its own checks: tests, thresholds, configuration. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import PurePosixPath

from orchestrator.gates import suppressions
from orchestrator.gates.check_files import CheckFile, check_file, is_shadow
from orchestrator.gates.command_files import MAKEFILES, Steps
from orchestrator.gates.config_files import CONFIG_PATH
from orchestrator.gates.deleted_tests import TEST_PATH, find_lost_tests
from orchestrator.gates.exclusions import new_exclusions
from orchestrator.gates.hidden_sources import hidden_sources
from orchestrator.gates.ignored_sources import ignored_sources
from orchestrator.gates.left_out import left_out_sources
from orchestrator.gates.skip_decorators import SkipDecorators
from orchestrator.gates.tool_config import READ_MANIFESTS, edited_parts
from orchestrator.gates.tool_origins import edited_copies
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding
from orchestrator.repo_config.agent_files import is_agent_file

#: One file may contain a hundred thousand; the limit keeps a report readable and small.
MOST_OF_A_KIND = 50
_DETAIL_CHARACTERS = 200

_CI_PATH = re.compile(
    r"^\.(github|gitea|forgejo)/(workflows|actions)/|^\.gitlab-ci\.ya?ml$|^\.gitlab/ci/"
    r"|^\.circleci/|^Jenkinsfile$|^azure-pipelines"
    r"|^\.pre-commit-config\.yaml$"
)
#: The kinds of findings that the path alone shows.
_PATH_RULES: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("agent-config-edited", is_agent_file, "agent programs read it: it affects later agents"),
    ("ci-config-edited", _CI_PATH.search, "it configures CI"),
    ("check-config-edited", CONFIG_PATH.search, "it configures a check"),
)
# The agent writes the text that these expressions read. A run of blanks that may begin anywhere has
# a bound or stays on its line; otherwise the search takes time quadratic in its length.
_THRESHOLD = re.compile(
    r"\b(fail[_-]under|cov-fail-under|minimum|branches|functions|lines|statements|check-coverage)"
    r"""["']?(?:\s{0,20}[:=]\s{0,20}|\s{1,20})(\d+(?:\.\d+)?)"""
)
_THRESHOLD_PATH = re.compile(r"\.(toml|cfg|ini|json|ya?ml|[cm]?[jt]s)$|(^|/)(\.\w+rc|Makefile)$")
#: Rules below read the content of these files.
_READ_BY_CONTENT = frozenset({"conftest.py", *READ_MANIFESTS})
#: Programs without a text that a reviewer could read.
_COMPILED = frozenset({".so", ".pyd", ".node", ".dylib", ".dll", ".jar", ".class", ".wasm"})


@dataclass(frozen=True)
class _LineRule:
    """A line that may not be added to files of these paths."""

    kind: str
    path: re.Pattern[str]
    line: re.Pattern[str]


_LINE_RULES = (
    *(_LineRule("suppression-added", path, line) for path, line in suppressions.RULES),
    _LineRule(
        "test-skipped",
        TEST_PATH,
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
        "collection-changed",
        re.compile(r"(^|/)conftest\.py$"),
        re.compile(
            r"\b(collect_ignore|collect_ignore_glob|hookimpl|pytest_\w+\b(?!\s*\.))\b|os\._exit"
            r"|(?<![\w.])setattr\("
            # The modules that it imports run as well, and may be files of any name.
            r"|^(?!\s*(import\s+pytest|from\s+__future__\s+import\s+\w+)\s*$)"
            r"(.*[;:])?\s*(import\s|from\s+[\w.]+\s+import\b)|__import__|\bimportlib\b|\bexec\("
        ),
    ),
    # Django reads its runner of tests from the settings of the program.
    _LineRule(
        "check-config-edited", re.compile(r"\.py$"), re.compile(r"^\s{0,99}TEST_RUNNER\s{0,9}=")
    ),
    _LineRule(
        "collection-changed",
        re.compile(r"(^|/)Cargo\.toml$"),
        re.compile(r"""\b(test|doctest|harness|autotests)["']?\s*=\s*false\b"""),
    ),
)


def find_tampering(
    changes: Iterable[FileChange],
    commands: Sequence[str],
    files: Container[str] = (),
    sources: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Return the edits of a change that weaken its checks.

    `commands` are those of its plan, `files` the paths that those run in turn, `sources` those of
    the base commit. Only new edits count: text of the base commit is no
    finding. The first MOST_OF_A_KIND of each kind are reported, and one more finding with the
    number of the others.
    """
    changes = tuple(changes)
    plan = Steps(commands)
    decorators = SkipDecorators(changes)
    found = (finding for change in changes for finding in _of_file(change, plan, files, decorators))
    of_trees = chain(
        hidden_sources(changes, sources),
        ignored_sources(changes, sources),
        left_out_sources(changes, sources),
        edited_copies(changes),
    )
    return tuple(_first(chain(found, of_trees, find_lost_tests(changes))))


def allowed(
    findings: Sequence[Finding], patterns: Sequence[str]
) -> tuple[tuple[Finding, ...], bool]:
    """Return the findings, and whether any of them blocks a strict profile.

    A finding on a path that the request allows says so in its detail, and does not block.
    """
    shown, blocks = [], False
    for finding in findings:
        pattern = next((each for each in patterns if fnmatchcase(finding.path, each)), None)
        if pattern is None:
            blocks = True
            shown.append(finding)
        else:
            detail = f"{finding.detail} (the request allows {pattern})"
            shown.append(finding.model_copy(update={"detail": detail}))
    return tuple(shown), blocks


def _first(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first findings of each kind, and one with the number of the others."""
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


def _of_file(
    change: FileChange, plan: Steps, files: Container[str], decorators: SkipDecorators
) -> Iterator[Finding]:
    path, name = change.path, PurePosixPath(change.path).name
    if path in plan.files or path in files:
        yield Finding(kind="gate-command-edited", path=path, detail="a gate runs this file")
    if path == "orchestrator.toml":
        yield Finding(kind="gate-config-edited", path=path, detail="it defines what the gates run")
    if name in MAKEFILES and plan.uses_make:
        yield Finding(kind="gate-command-edited", path=path, detail="a gate runs make")
    for kind, is_of_kind, detail in _PATH_RULES:
        if is_of_kind(path):
            yield Finding(kind=kind, path=path, detail=detail)
    yield from _judged(change, plan, files)
    yield from _linked(change)
    yield from edited_parts(change, plan)
    yield from _thresholds(change)
    yield from _excluded(change)
    yield from _no_longer_strict(change)
    for rule in _LINE_RULES:
        if rule.path.search(path):
            added = [each for each in _added_lines(change) if rule.line.search(each[1])]
            known = decorators.harmless(change) if added and rule.kind == "test-skipped" else ()
            for number, line in added:
                if number not in known:
                    shown = line.strip()[:_DETAIL_CHARACTERS]
                    yield Finding(kind=rule.kind, path=path, line=number, detail=shown)


def _excluded(change: FileChange) -> Iterator[Finding]:
    if change.path.endswith(".py"):
        sides = (_text(side or b"") for side in (change.before, change.after))
        for line, text in new_exclusions(*sides):
            detail = text[:_DETAIL_CHARACTERS]
            yield Finding(kind="suppression-added", path=change.path, line=line, detail=detail)


def _no_longer_strict(change: FileChange) -> Iterator[Finding]:
    if change.before is not None and change.after is not None:
        sides = (_lines(side) for side in (change.before, change.after))
        for line in suppressions.no_longer_strict(*sides):
            detail = f"{line.strip()[:_DETAIL_CHARACTERS]} is gone"
            yield Finding(kind="suppression-added", path=change.path, detail=detail)


def _linked(change: FileChange) -> Iterator[Finding]:
    is_conftest = PurePosixPath(change.path).name == "conftest.py"
    # The content of a link is its target, without an end of line.
    if is_conftest and (
        (change.after and b"\n" not in change.after) or change.before == change.after
    ):
        detail = "its mode differs, or it is a symbolic link"
        yield Finding(kind="collection-changed", path=change.path, detail=detail)


def _judged(change: FileChange, plan: Steps, files: Container[str]) -> Iterator[Finding]:
    """Yield what a file is to the checks, if no rule for its content says it."""
    if CONFIG_PATH.search(change.path):
        return
    path = PurePosixPath(change.path)
    kind = check_file(change, plan, files)
    if kind is CheckFile.MADE and change.after is not None:
        detail = "tools make it from sources; the gates ran without it, or with that of the base"
        yield Finding(kind="made-file", path=change.path, detail=detail)
    elif kind is CheckFile.LOADED:
        shadow = is_shadow(change, plan)
        name = path.parent.name if path.name == "__init__.py" else path.name.partition(".")[0]
        detail = f"it replaces {name}" if shadow else "a check loads it unasked"
        yield Finding(kind="tool-shadowed", path=change.path, detail=detail)
    elif kind is CheckFile.CONFIG and path.name not in _READ_BY_CONTENT:
        yield Finding(kind="check-config-edited", path=change.path, detail="it configures tests")
    elif path.suffix in _COMPILED and change.before is None:
        detail = "a compiled file that no check reads"
        yield Finding(kind="made-file", path=change.path, detail=detail)


def _thresholds(change: FileChange) -> Iterator[Finding]:
    if not _THRESHOLD_PATH.search(change.path) or change.before is None:
        return
    before, after = (_least(_text(side)) for side in (change.before, change.after or b""))
    for name, least in before.items():
        now = after.get(name)
        # A minimum of 0 demands nothing.
        if least and (now is None or now < least):
            detail = f"{name} was {least:g}, is {'gone' if now is None else f'{now:g}'}"
            yield Finding(kind="threshold-lowered", path=change.path, detail=detail)


def _least(text: str) -> dict[str, float]:
    least: dict[str, float] = {}
    for name, number in _THRESHOLD.findall(text):
        least[name] = min(least.get(name, float("inf")), float(number))
    return least


def _added_lines(change: FileChange) -> Iterator[tuple[int, str]]:
    known = Counter(_lines(change.before))
    for number, line in enumerate(_lines(change.after), start=1):
        if known[line]:
            known[line] -= 1
        else:
            yield number, line


def _lines(content: bytes | None) -> list[str]:
    # No other sign ends a line for the tools; a form feed is a blank to them.
    return re.split(r"\r\n|\r|\n", _text(content or b""))


def _text(content: bytes) -> str:
    # TypeScript reads such files.
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8", errors="replace")
