"""Node: the scripts of package.json, of workspaces too, run by the package manager it names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with, mentioned_report
from orchestrator.gates.detectors._node_packages import (
    MANIFEST,
    Manager,
    Package,
    manager_of,
    members_of,
    read_package,
    runs_all_members,
)
from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged

#: The script names of each gate; the first that exists is used.
_SCRIPTS = {
    "typecheck": (
        "typecheck", "type-check", "check-types", "check:types", "types:check", "check:type",
        "check-type", "type:check", "check:tsc", "tsc", "check:ts", "types",
    ),
    "lint": (
        "lint", "check:lint", "lint:check", "lint:ci", "eslint", "test:lint", "check:style",
        "check:format", "format:check",
    ),
    "tests": ("test", "check:test", "check:tests", "test:ci", "test:run"),
    "build": ("build",),
    "integration": ("integration", "test:integration", "test:e2e", "e2e"),
}  # fmt: skip
#: Further scripts of each gate, unless the first one runs them.
_MORE = {
    "typecheck": ("type-tests", "test:types", "test-types", "test:typescript"),
    "tests": ("test:unit", "test:node", "test:lib"),
}
#: Scripts with names of gates that developers run by hand, or that belong to no gate.
_BY_HAND = re.compile(r"watch|fix|update|debug|:ui$|:dev$|cov|bench|snap|record|open|headed|perf")
_LIKE_A_GATE = re.compile(r"(?:test|tests|check|lint|typecheck)[:_-].+|check")
#: The scripts that are the gate tests if none of its names exists.
_PART_OF_TESTS = re.compile(r"(?:check:)?tests?[:_-][\w:.-]+")
_OTHER_GATES = re.compile(
    r"e2e|integration|smoke|lint|style|format|types?(?:cript)?\b|build|exports"
)
_COVERAGE_SCRIPTS = (
    "coverage", "test:coverage", "test-coverage", "test:cov", "test-cov", "cov", "test",
)  # fmt: skip
_SUMMARY = "coverage/coverage-summary.json"
#: They write a report afterwards, from the data of the script's run.
_REPORTERS = ("c8", "nyc")
#: They write the report during the run.
_RUNNERS = {
    "jest": "--coverage --coverageReporters=json-summary",
    "vitest": "--coverage.enabled=true --coverage.reporter=json-summary",
}
#: The packages with which a runner measures coverage; without one of them it measures none.
_PROVIDERS = {"vitest": ("@vitest/coverage-v8", "@vitest/coverage-istanbul", "@vitest/coverage-c8")}
_COMMAND_END = re.compile(r"&&|\|\||[;|\n]")
#: The number of words of one script that are read; it bounds the work.
_MOST_WORDS = 200
#: More scripts than this are parts that somebody chooses from, and only named.
_MOST_PARTS = 8
#: The number of test files that are read to find their runner.
_MOST_TESTS = 30
_OF_BUN = re.compile(r"^\s*import\b[^;\n]*[\"']bun:test[\"']", re.MULTILINE)
_TEST_FILE = re.compile(r"[.](?:test|spec)\.[cm]?[jt]sx?$|(^|/)__tests__/.*\.[cm]?[jt]sx?$")


class Node:
    """Detects by package.json: a workspace is checked with its members."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of packages."""
        return folders_with({MANIFEST}, paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a Node package, or of a workspace."""
        package = read_package(files)
        if package is None:
            reason = "it cannot be read as a package.json"
            is_there = MANIFEST in files.paths
            return Detected(not_judged=(NotJudged(path=MANIFEST, reason=reason),) * is_there)
        manager, lock = manager_of(files, package)
        members = members_of(files, package)
        needs = lock and any(each.needs for each in (package, *members.values()))
        # A clean checkout has no node_modules.
        prepare = f"{manager.install} && " if needs else ""
        found: dict[str, GateCommand] = {}
        for gate in _SCRIPTS:
            own = _chosen(gate, package.runnable)
            steps = [f"{manager.run} {name}" for name in own]
            texts = [_text(name, package.runnable) for name in own]
            if not any(map(runs_all_members, texts)):
                steps += _member_steps(gate, members, manager)
                texts += [_text(name, each.runnable) for each in members.values()
                          for name in _chosen(gate, each.runnable)]  # fmt: skip
            if steps:
                command = prepare + " && ".join(steps)
                found[gate] = GateCommand(
                    command, script="\n".join(texts), source=MANIFEST, prepare=prepare
                )
        if "tests" not in found and (path := _bun_tests(files, manager)):
            found["tests"] = GateCommand(f"{prepare}bun test", source=path, prepare=prepare)
        if "typecheck" not in found and (compiler := _compiler(files, package, manager)):
            command = prepare + compiler
            found["typecheck"] = GateCommand(command, source="tsconfig.json", prepare=prepare)
        all_needs = {name for each in (package, *members.values()) for name in each.needs}
        if coverage := _coverage(package.runnable, all_needs, manager):
            found["coverage"] = GateCommand(
                prepare + coverage.command,
                report=coverage.report,
                source=MANIFEST,
                prepare=prepare,
            )
        return Detected(
            found,
            not_judged=(
                *(
                    ()
                    if found.get("tests") and "bun test" in found["tests"].command
                    else _untested(files, package, members)
                ),
                *_unused("", package.runnable),
                *(left for at, each in members.items() for left in _unused(at, each.runnable)),
            ),
            members=frozenset(members),
            has_tests="tests" in found,
        )


def _chosen(gate: str, scripts: Mapping[str, str]) -> list[str]:
    """Return the scripts of a gate: the first of its names, and the others that it does not run."""
    chosen = [name for name in _SCRIPTS[gate] if name in scripts][:1]
    for name in _MORE.get(gate, ()):
        if name in scripts and not any(name in _reached(other, scripts) for other in chosen):
            chosen.append(name)
    if gate == "tests" and not chosen:
        parts = [name for name in scripts if _PART_OF_TESTS.fullmatch(name)]
        parts = [n for n in parts if not (_BY_HAND.search(n) or _OTHER_GATES.search(n))]
        if len(parts) <= _MOST_PARTS:
            below = {name: _reached(name, scripts) - {name} for name in parts}
            chosen = [name for name in parts if not any(name in each for each in below.values())]
    return chosen


def _reached(name: str, scripts: Mapping[str, str]) -> set[str]:
    """Return the names of the scripts that one runs, itself and those of patterns included."""
    seen, todo = set[str](), [name]
    while todo:
        at = todo.pop()
        if at in seen or at not in scripts:
            continue
        seen.add(at)
        words = [word.strip("\"'\\") for word in scripts[at].split()[:_MOST_WORDS]]
        patterns = [word for word in words if "*" in word]
        todo += [f"pre{at}", f"post{at}", *words]
        todo += [each for each in scripts for word in patterns if fnmatchcase(each, word)]
    return seen


def _text(name: str, scripts: Mapping[str, str]) -> str:
    return "\n".join(scripts[each] for each in sorted(_reached(name, scripts)))


def _member_steps(gate: str, members: Mapping[str, Package], manager: Manager) -> Iterator[str]:
    by_script: dict[str, list[str]] = {}
    for folder, member in members.items():
        for name in _chosen(gate, member.runnable):
            by_script.setdefault(name, []).append(folder)
    for name, folders in by_script.items():
        yield manager.run_in(folders, name)


def _compiler(files: BaseFiles, package: Package, manager: Manager) -> str | None:
    config = files.text("tsconfig.json")
    # A configuration that only refers to others checks nothing by itself.
    if "typescript" not in package.needs or not config or '"references"' in config:
        return None
    return f"{manager.execute} tsc --noEmit"


def _bun_tests(files: BaseFiles, manager: Manager) -> str:
    """Return a file of tests that Bun runs without a script; empty if there is none."""
    if manager.name != "bun":
        return ""
    tests = sorted(path for path in files.paths if _TEST_FILE.search(path))[:_MOST_TESTS]
    return next((path for path in tests if _OF_BUN.search(files.text(path))), "")


def _untested(
    files: BaseFiles, package: Package, members: Mapping[str, Package]
) -> Iterator[NotJudged]:
    """Yield the packages that have test files, but no script that runs them."""
    has_root = bool(_chosen("tests", package.runnable))
    nested = sorted(folders_with({MANIFEST}, files.paths) - {""}, reverse=True)
    owners = set[str]()
    for path in files.paths:
        if _TEST_FILE.search(path) and "node_modules" not in path.split("/"):
            owners.add(next((f for f in nested if path.startswith(f"{f}/")), ""))
    for folder in sorted(owners & {"", *members}):
        scripts = members[folder].runnable if folder else package.runnable
        if not _chosen("tests", scripts):
            path = f"{folder}/{MANIFEST}" if folder else MANIFEST
            reason = "the package has test files, and no script test that runs them"
            # The script of the root may run all of them.
            yield NotJudged(path=path, gate="tests", reason=reason, blocks=not has_root)


def _unused(folder: str, scripts: Mapping[str, str]) -> Iterator[NotJudged]:
    """Yield the scripts with names of gates that no gate runs."""
    used = set[str]()
    for gate in _SCRIPTS:
        for name in (*_chosen(gate, scripts), *_COVERAGE_SCRIPTS):
            used |= _reached(name, scripts)
    for name in sorted(set(scripts) - used):
        if _LIKE_A_GATE.fullmatch(name) and not _BY_HAND.search(name):
            path = f"{folder}/{MANIFEST}" if folder else MANIFEST
            yield NotJudged(path=path, reason=f"no gate runs its script {name[:100]}")


def _coverage(
    scripts: Mapping[str, str], needs: Collection[str], manager: Manager
) -> GateCommand | None:
    """Return the command of the first script that measures coverage, or runs one that does."""
    for name in _COVERAGE_SCRIPTS:
        if name not in scripts:
            continue
        reached = [name, *sorted(_reached(name, scripts) - {name})]
        text = "\n".join(scripts[each] for each in reached)
        run = f"{manager.run} {name}"
        if report := mentioned_report(text):
            return GateCommand(run, report=report)
        words = set(text.replace("/", " ").split())
        for tool in _REPORTERS:
            if tool in words:
                report_command = f"{manager.execute} {tool} report --reporter=json-summary"
                return GateCommand(f"{run} && {report_command}", report=_SUMMARY)
        for each in reached:
            if arguments := _arguments(scripts[each], needs):
                command = f"{manager.run} {each}{manager.separator}{arguments}"
                return GateCommand(command, report=_SUMMARY)
    return None


def _arguments(script: str, needs: Collection[str]) -> str:
    """Return the arguments with which a script measures coverage; empty if it cannot.

    Arguments of a script reach its last command only.
    """
    words = _COMMAND_END.split(script)[-1].replace("/", " ").split()
    for tool, arguments in _RUNNERS.items():
        providers = _PROVIDERS.get(tool, ())
        if tool in words and (not providers or any(each in needs for each in providers)):
            return arguments
    return ""


def build(settings: object) -> Node:
    """Build the detector."""
    del settings
    return Node()
