"""What a Python project requires for its own checks: extras, groups, files, and locked versions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import yaml

from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.detectors._python_tools import read_tools
from orchestrator.repo_config.toml import table_in

#: The extras, groups and environments whose names say that they are for tests or checks.
_FOR_CHECKS = re.compile(
    r"(?:dev|test|tests|testing|unittest|lint|linting|typing|typecheck|types|mypy|check|checks|qa"
    r"|quality|cov|coverage|ci|pytest|hatch-test|default)(?:[-_](?:dev|deps|requires?|tools?))?"
)
#: The files of requirements at the top of a project, or in the folder for them.
_FILES = re.compile(
    r"requirements\.txt|(?:dev|test|tests|testing|lint|ci)[-_.]?requirements\.txt"
    r"|requirements[-_.](?:dev|develop|test|tests|testing|lint|ci|all)\.txt"
    r"|(?:requirements|reqs)/(?:base|main|dev|develop|test|tests|testing|lint|ci|all)\.txt"
    r"|(?:tests?)/requirements\.txt"
)
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
#: A requirement of a registry; no path, no address, no option, and nothing that tox fills in.
_BOUND = r"(?:[<>!~=]=?=?\s*[\w.*+!-]+)"
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(?:\[[\w,\s.-]*\])?"
    rf"\s*(?:{_BOUND}(?:\s*,\s*{_BOUND})*)?\s*(?:;[^{{}}]*)?"
)
#: A line of a session that names a file of requirements.
_NAMED_FILE = re.compile(
    r"(?:-r|--requirement)[\s=]*(?:\{(?:toxinidir|tox_root)\}/|\./)?([\w./-]+)$"
)
_FROZEN = re.compile(
    r"^(\s*(?:-\s+)?rev:\s*)['\"]?[0-9a-f]{40}['\"]?\s*#\s*(?:frozen:\s*)?(v?\d[\w.]*)\s*$",
    re.MULTILINE,
)
_BARE_VERSION = re.compile(r"[\d.]+[\w.]*")
_NOT_OF_A_REGISTRY = {"editable", "virtual", "directory", "git", "file", "url", "path"}
#: Included groups may include others; deeper ones are not read.
_MOST_INCLUDED = 20


def normal(name: str) -> str:
    """Return the normal form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Return the distribution that a requirement names; empty if it is an address or an option."""
    match = _NAME.match(requirement.partition("#")[0])
    return normal(match[1]) if match else ""


def requirement_files(files: BaseFiles) -> tuple[str, ...]:
    """Return the files of requirements that checks need."""
    return tuple(sorted(filter(_FILES.fullmatch, files.paths)))


def extras(project: Mapping[str, Any], setup_cfg: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the extras of a project that are for its checks."""
    named = [*table_in(project, "optional-dependencies"), *setup_cfg]
    return tuple(dict.fromkeys(name for name in named if _FOR_CHECKS.fullmatch(name.lower())))


def group_requirements(pyproject: Mapping[str, Any]) -> Iterator[str]:
    """Yield the requirements of the groups of pyproject.toml that are for checks."""
    groups = table_in(pyproject, "dependency-groups")
    tool = table_in(pyproject, "tool")
    for name in groups:
        if _FOR_CHECKS.fullmatch(name.lower()):
            yield from _of_group(groups, name, _MOST_INCLUDED)
    yield from _strings(table_in(tool, "uv").get("dev-dependencies"))
    pdm = table_in(tool, "pdm", "dev-dependencies")
    hatch = table_in(tool, "hatch", "envs")
    for name, listed in pdm.items():
        if _FOR_CHECKS.fullmatch(name.lower()):
            yield from (entry for entry in _strings(listed) if not entry.startswith("-e"))
    for name, env in hatch.items():
        if _FOR_CHECKS.fullmatch(name.lower()):
            yield from _strings(table_in(env).get("dependencies"))
            yield from _strings(table_in(env).get("extra-dependencies"))
    poetry = table_in(tool, "poetry")
    wanted = [table_in(poetry, "dev-dependencies")]
    wanted += [
        table_in(group, "dependencies")
        for name, group in table_in(poetry, "group").items()
        if _FOR_CHECKS.fullmatch(name.lower())
    ]
    for table in wanted:
        for name, value in table.items():
            yield from of_table(name, value)


def poetry_requirements(pyproject: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an application of poetry requires, without its groups."""
    for name, value in table_in(pyproject, "tool", "poetry", "dependencies").items():
        if name != "python":
            yield from of_table(name, value)


def project_requirements(project: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    """Yield what a project without a build system requires, with the named extras."""
    yield from _strings(project.get("dependencies"))
    optional = table_in(project, "optional-dependencies")
    for name in wanted:
        yield from _strings(optional.get(name))


def locked_versions(files: BaseFiles) -> dict[str, str]:
    """Return the one version of each distribution that the lock file of a project names."""
    for path in LOCKS:
        if path in files.paths:
            return _locked(files.document(path))
    return {}


def hook_versions(files: BaseFiles) -> dict[str, str]:
    """Return the versions of ruff, mypy and flake8 that pre-commit runs."""
    found: dict[str, str] = {}
    for repo in _repos(files):
        address, rev = str(repo.get("repo", "")), str(repo.get("rev", ""))
        for tool in ("ruff", "mypy", "flake8"):
            version = rev.removeprefix("v")
            if re.search(rf"/(?:mirrors-)?{tool}(?:-pre-commit)?(?:\.git)?$", address) and (
                re.fullmatch(r"\d+(?:\.\d+)+", version)
            ):
                found[tool] = version
    return found


def session_requirements(
    files: BaseFiles, run: Collection[str], named: Collection[str]
) -> Iterator[str]:
    """Yield what sessions of tox and nox, and hooks of pre-commit, install for some tools.

    Distributions that are `named` elsewhere are left out, because two versions of one would make
    the installation fail.
    """
    tools, seen = read_tools(files), set(named)
    wanted = [
        need
        for session, needs in tools.needs.items()
        if tools.sessions[session] & {*run}
        for need in needs
    ]
    wanted += [
        need
        for hook in _hooks(files)
        if str(hook.get("id")).removesuffix("-check").removeprefix("mirrors-") in run
        for need in _strings(hook.get("additional_dependencies"))
    ]
    for need in _with_files(wanted, files):
        text = need.partition("#")[0].strip()
        name = name_of(text)
        if _REQUIREMENT.fullmatch(text) and name not in seen:
            seen.add(name)
            yield text


def _with_files(needs: Collection[str], files: BaseFiles) -> Iterator[str]:
    """Yield some lines, with those of a file of requirements in place of its name."""
    for need in needs:
        named = _NAMED_FILE.match(need.strip())
        yield from files.text(named[1]).splitlines() if named else (need,)


def _hooks(files: BaseFiles) -> Iterator[Mapping[str, Any]]:
    for repo in _repos(files):
        hooks = repo.get("hooks")
        yield from (table_in(hook) for hook in (hooks if isinstance(hooks, list) else ()))


def _repos(files: BaseFiles) -> Iterator[Mapping[str, Any]]:
    try:
        # A comment names the version of a revision that is given as a commit.
        text = _FROZEN.sub(r"\1'\2'", files.text(".pre-commit-config.yaml"))
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    repos = document.get("repos") if isinstance(document, dict) else None
    yield from (table_in(repo) for repo in (repos if isinstance(repos, list) else ()))


def _of_group(groups: Mapping[str, Any], name: str, room: int) -> Iterator[str]:
    for entry in groups.get(name) or () if isinstance(groups.get(name), list) else ():
        if isinstance(entry, str):
            yield entry
        elif room and isinstance(entry, dict) and "include-group" in entry:
            included = normal(str(entry["include-group"]))
            at = next((key for key in groups if normal(key) == included), "")
            yield from _of_group(groups, at, room - 1)


def of_table(name: str, value: object) -> Iterator[str]:
    """Yield one entry of a table of poetry or of a Pipfile, in the form that pip reads."""
    table = table_in(value)
    if isinstance(value, list) or table.get("optional") or table.keys() & {"path", "git", "url"}:
        return
    names = ",".join(_strings(table.get("extras")))
    marker = f"; {table['markers']}" if isinstance(table.get("markers"), str) else ""
    version = str(table.get("version", "") if table else value)
    yield f"{name}{f'[{names}]' if names else ''}{_of_poetry_version(version)}{marker}"


def _of_poetry_version(version: str) -> str:
    """Return a version of poetry's own form as one that pip reads."""
    version = version.strip()
    if version[:1] in ("^", "~") and not version.startswith("~="):
        # The lock file has the exact version; without one the newest is as good.
        return f">={version[1:].strip()}"
    if _BARE_VERSION.fullmatch(version):
        return f"=={version}"
    return "" if "*" in version else version.replace(" ", "")


def _locked(document: Mapping[str, Any]) -> dict[str, str]:
    found: list[tuple[str, str]] = []
    packages = document.get("package", document.get("packages"))
    for package in packages if isinstance(packages, list) else ():
        name, version = table_in(package).get("name"), table_in(package).get("version")
        source = table_in(package, "source")
        # uv names the kind of a source as a key, poetry as a value.
        kinds = {*source, source.get("type")} & _NOT_OF_A_REGISTRY
        if isinstance(name, str) and isinstance(version, str) and not kinds:
            found.append((name, version))
    return single_versions(found)


def single_versions(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the version of each distribution for which only one is named."""
    versions: dict[str, set[str]] = {}
    for name, version in found:
        versions.setdefault(normal(name), set()).add(version)
    return {name: each.pop() for name, each in versions.items() if len(each) == 1}


def _strings(value: object) -> Iterator[str]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, str):
            yield entry
