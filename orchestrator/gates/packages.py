"""The packages of a base commit, in all languages, and the commands of each gate for them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.gates.detection import BaseFiles, Detected, Detector
from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged

#: Deeper packages are only named, unless a workspace around them lists them.
MOST_LEVELS = 2
#: The number of folders of one repository that are read; the others are only named.
MOST_PACKAGES = 150
#: Folders with code of third parties, or with packages that are test data.
_OTHERS = re.compile(
    r"(?:^|/)(?:node_modules|bower_components|vendor|third[_-]party|site-packages|testdata"
    r"|test[_-]?data|(?:__)?fixtures?(?:__)?|templates?|cookiecutter[^/]*|\.[^/]+|\{\{[^/]*)(?:/|$)"
)
_CONTRIBUTED = re.compile(r"contrib/")
#: Detectors whose commands run the tools of others; a command that only does the same is left out.
_WRAPPERS = ("Make",)
_OF_DENO = ("deno.json", "deno.jsonc")
#: Options in a line of a recipe that exclude no test and no file.
_HARMLESS = re.compile(
    r"-[vqsx]+|--(?:verbose|quiet|silent|no-header)|-r\w*|-n(?:=?\d+|=?auto)?|--cov\S*|--tb=\S+"
    r"|--durations=\S+|--color=\S+|-race|--all|--workspace|--show-\S+"
)
_SUBSETS = ("pytest", "ruff", "flake8", "mypy")
#: A line that runs sessions of tox or nox, which install into environments of their own.
_SESSION_LINE = re.compile(r"^(?:tox|nox)(?:\s[^&|;<>`]*)?$")
_LINE_START = re.compile(
    r"^[@+-]*\s*(?:[^\s/]{0,40}env[^\s/]{0,40}/bin/)?"
    r"(?:(?:uv|poetry|pdm|pipenv|hatch) run (?:--\S+ )*)?",
    re.IGNORECASE,
)
_MODULE_START = re.compile(r"^\S*(?:python[\d.]*|\$[({]PY\w*[)}]) -m ")
#: Lines of a recipe that check nothing: they print.
_SILENT_LINE = re.compile(
    r"^(?:echo|printf|@?:|true)\b[^&|;]*$|^#|^\$[({](?:info|warning)\b[^&|;]*[)}]$"
    r"|^coverage (?:erase|combine|html|xml|json|lcov)(?![^\n]*--fail)(?:\s[^&|;<>$`]*)?$"
)
#: A line that installs what the environment of the repository contains already.
_INSTALL_LINE = re.compile(
    r"^(?:(?:uv )?(?:\S*python[\d.]* -m )?pip3? install|(?:uv|poetry|pdm|pipenv) (?:sync|install)"
    r"|npm (?:ci|install|i)|(?:pnpm|yarn|bun) (?:ci|install)|go (?:get|mod (?:download|tidy)))"
    r"(?:\s[^&|;<>$`]*)?$"
)


@dataclass(frozen=True)
class Package:
    """One package of one ecosystem, with the folder that contains it."""

    kind: str
    folder: str
    detected: Detected


@dataclass(frozen=True)
class Survey:
    """The packages of a base commit that gates can check, and the parts that they cannot."""

    packages: tuple[Package, ...]
    not_judged: tuple[NotJudged, ...]

    def of(self, gate: str) -> tuple[tuple[str, GateCommand], ...]:
        """Return the folder and the command of each package that a gate checks."""
        return tuple(
            (package.folder, command)
            for package in self.packages
            if (command := package.detected.commands.get(gate)) is not None
        )

    def left_out(self, gate: str) -> Iterator[NotJudged]:
        """Yield the packages that a gate does not check, although it checks others."""
        judged = {(p.kind, p.folder) for p in self.packages if gate in p.detected.commands}
        named = {(entry.path, entry.gate) for entry in self.not_judged}
        for package in self.packages:
            above = _above(package.folder)
            if (
                judged
                and package.kind not in _WRAPPERS
                and not any((package.kind, folder) in judged for folder in above)
                and (package.folder, gate) not in named
            ):
                reason = f"nothing says how to run {gate} of this {package.kind} package"
                yield NotJudged(path=package.folder, gate=gate, reason=reason)


def survey(files: BaseFiles, detectors: Sequence[Detector]) -> Survey:
    """Find the packages of a base commit: at its root, two levels down, and in workspaces."""
    packages: list[Package] = []
    not_judged: list[NotJudged] = []
    looked = 0
    for detector in detectors:
        members, listed = set[str](), set[str]()
        kind = type(detector).__name__
        folders = set(detector.folders(files.paths))
        for folder in sorted(folders, key=lambda at: (at.count("/"), at)):
            if folder in members:
                continue
            if reason := _refusal(folder, looked, is_listed=folder in listed):
                if not _OTHERS.search(folder) or folder.count("/") < MOST_LEVELS:
                    not_judged.append(NotJudged(path=folder, reason=f"{kind}: {reason}"))
                continue
            looked += 1
            detected = detector.detect(files.below(folder))
            members |= {f"{folder}/{name}" if folder else name for name in detected.members}
            listed |= {f"{folder}/{name}" if folder else name for name in detected.listed}
            if kind in _WRAPPERS and folder:
                detected = _only_tests(detected)
            not_judged += [
                entry.model_copy(update={"path": f"{folder}/{entry.path}".strip("/")})
                for entry in detected.not_judged
            ]
            if detected.commands:
                packages.append(Package(kind, folder, detected))
    packages = list(_without_repeats(packages))
    packages, contributed = _without_contributions(packages)
    packages, untested = _without_untested(packages)
    named = [*not_judged, *contributed, *untested]
    return Survey(tuple(packages), tuple(_settled(named, packages)))


def _refusal(folder: str, count: int, *, is_listed: bool) -> str:
    if _OTHERS.search(folder):
        return "a folder of other people's code, of fixtures or of templates"
    if folder.count("/") >= MOST_LEVELS and not is_listed:
        return f"a package more than {MOST_LEVELS} levels down, which no workspace lists"
    return f"one package more than {MOST_PACKAGES}" if count >= MOST_PACKAGES else ""


def _only_tests(detected: Detected) -> Detected:
    commands = {gate: c for gate, c in detected.commands.items() if gate == "tests"}
    return replace(detected, commands=commands)


def _without_repeats(packages: Sequence[Package]) -> Iterator[Package]:
    """Yield the packages without wrappers' commands that only repeat others of the folder."""
    for package in packages:
        if package.kind not in _WRAPPERS:
            yield package
            continue
        beside = [p.detected for p in packages if p.folder == package.folder and p is not package]
        commands = {
            gate: command
            for gate, command in package.detected.commands.items()
            if not _is_repeated(gate, command, beside)
        }
        if commands:
            yield replace(package, detected=replace(package.detected, commands=commands))


def _is_repeated(gate: str, command: GateCommand, beside: Sequence[Detected]) -> bool:
    has_other = any(gate in detected.commands for detected in beside)
    if not has_other or gate == "coverage":
        return has_other
    # A recipe for tests may lint first, which another gate does.
    others = [other for detected in beside for other in detected.commands.values()]
    known = {_plain(step) for other in others for step in re.split(r"&&|\n", other.command)}
    lines = (_LINE_START.sub("", line.strip()) for line in command.script.splitlines())
    # Gates have no network with which sessions could install, so the tests run without them.
    is_tested = gate == "tests" and any(map(_runs_python_tests, beside))
    return all(
        _plain(line) in known or (is_tested and _SESSION_LINE.search(line))
        for line in lines
        if not (_SILENT_LINE.search(line) or _INSTALL_LINE.search(line))
    )


def _runs_python_tests(detected: Detected) -> bool:
    command = detected.commands.get("tests")
    return command is not None and command.command.startswith("python3 ")


def _plain(line: str) -> tuple[str, ...]:
    """Return the words of a command without the options that exclude nothing."""
    text = _MODULE_START.sub("", _LINE_START.sub("", line.strip()))
    try:
        words = shlex.split(text.replace("npm test", "npm run test"))
    except ValueError:
        return (line,)
    if any(set(word) & set("|;&<>$`") for word in words):
        return (line,)
    words = [word for word in words if not _HARMLESS.fullmatch(word)]
    if words[:1] and words[0] in _SUBSETS:
        # A list of paths selects a part of what the same tool checks without it.
        return tuple(word for word in words if word.startswith("-") or word in _SUBSETS)
    return tuple(words)


def _without_contributions(packages: Sequence[Package]) -> tuple[list[Package], list[NotJudged]]:
    """Leave out the Makefiles of contributions, if the root has tests of its own.

    A project does not build its contributions: they need an installed copy of it, or other tools.
    """
    has_tests = any(not p.folder and "tests" in p.detected.commands for p in packages)
    left = [
        package.folder
        for package in packages
        if has_tests and package.kind in _WRAPPERS and _CONTRIBUTED.match(package.folder)
    ]
    reason = "a contribution, which the project itself does not build"
    named = [NotJudged(path=folder, gate="tests", reason=reason) for folder in left]
    return [p for p in packages if p.kind not in _WRAPPERS or p.folder not in left], named


def _without_untested(packages: Sequence[Package]) -> tuple[list[Package], list[NotJudged]]:
    """Leave out the tests of packages that have none, if other packages have some."""
    tested = [p for p in packages if p.detected.has_tests and "tests" in p.detected.commands]
    if not tested:
        return list(packages), []
    kept: list[Package] = []
    named: list[NotJudged] = []
    for package in packages:
        detected = package.detected
        if not detected.has_tests and "tests" in detected.commands:
            commands = {
                gate: command
                for gate, command in detected.commands.items()
                if gate not in ("tests", "coverage")
            }
            detected = replace(detected, commands=commands)
            reason = f"no tests were found in this {package.kind} package"
            named += [
                NotJudged(path=package.folder, gate=gate, reason=reason)
                for gate in ("tests", "coverage")
            ]
        kept.append(replace(package, detected=detected))
    return kept, named


def _settled(entries: Iterable[NotJudged], packages: Collection[Package]) -> Iterator[NotJudged]:
    """Yield each entry once; what other tests of its folder may run does not block.

    These are the tests of a Makefile, and for Deno those of Node: many packages are published for
    both.
    """
    tested = [p for p in packages if "tests" in p.detected.commands]
    wrapped = {p.folder for p in tested if p.kind in (*_WRAPPERS, "Autotools")}
    of_node = {p.folder for p in tested if p.kind == "Node"}
    seen: Mapping[NotJudged, None] = dict.fromkeys(entries)
    for entry in seen:
        folder, _, name = entry.path.rpartition("/")
        is_of_node = name in _OF_DENO and folder in of_node
        if entry.blocks and (folder in wrapped or is_of_node):
            runner = "make test" if folder in wrapped else "the script test"
            reason = f"{entry.reason}, unless {runner} of the same folder runs its tests"
            yield entry.model_copy(update={"blocks": False, "reason": reason})
        else:
            yield entry


def _above(folder: str) -> Iterator[str]:
    """Yield a folder and its parent folders."""
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder
