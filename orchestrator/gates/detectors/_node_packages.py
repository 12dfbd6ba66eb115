"""The contents of a package.json, and the package manager that runs its scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.detectors import folders_with, is_member

MANIFEST = "package.json"
_PNPM_WORKSPACE = "pnpm-workspace.yaml"
#: The text that `npm init` writes if there are no tests.
_STUB = "no test specified"
#: Commands that run a script in each member of a workspace.
_ALL_MEMBERS = re.compile(
    r"\bnpm\b[^&|;\n]*\s(?:--workspaces|-ws)(?=\s|$)|\bpnpm\b[^&|;\n]*\s(?:-r|--recursive)(?=\s|$)"
    r"|\bworkspaces\s+(?:foreach|run)\b|\blerna\s+run\b|\bnx\s+run-many\b|\bwsrun\b"
    r"|\bturbo\b(?![^&|;\n]*--filter)"
)
#: The number of scripts of one package that are read; it bounds the work.
_MOST_SCRIPTS = 500
#: The number of characters of one script in which such a command is found.
_MOST_CHARACTERS = 10_000


@dataclass(frozen=True)
class Manager:
    """How a package manager installs and runs."""

    name: str
    install: str
    run: str
    execute: str
    #: The text before arguments of the script.
    separator: str = " "

    def run_in(self, folders: Iterable[str], script: str) -> str:
        """Return the command that runs a script in members of the workspace around it."""
        if self.name == "yarn":
            # `yarn workspace` knows members by name only, and a name is optional.
            steps = (f"yarn --cwd {shlex.quote(folder)} run {script}" for folder in folders)
            return " && ".join(steps)
        if self.name == "npm":
            options = " ".join(f"-w {shlex.quote(folder)}" for folder in folders)
            return f"{self.run} {script} {options}"
        options = " ".join(f"--filter {shlex.quote(f'./{folder}')}" for folder in folders)
        return f"{self.name} {options} run {script}"


_NPM = Manager(
    "npm", "npm ci --no-audit --no-fund", "npm run --silent", "npx --no-install", separator=" -- "
)
_PNPM = Manager("pnpm", "pnpm install --frozen-lockfile", "pnpm --silent run", "pnpm exec")
_YARN = Manager("yarn", "yarn install --frozen-lockfile", "yarn run", "yarn run")
_BERRY = Manager("yarn", "yarn install --immutable", "yarn run", "yarn run")
_BUN = Manager("bun", "bun install --frozen-lockfile", "bun run --silent", "bun x")
_MANAGERS = {"npm": _NPM, "pnpm": _PNPM, "yarn": _YARN, "bun": _BUN}
_LOCKS = {
    "pnpm-lock.yaml": _PNPM,
    "yarn.lock": _YARN,
    "bun.lock": _BUN,
    "bun.lockb": _BUN,
    "bunfig.toml": _BUN,
    "package-lock.json": _NPM,
    "npm-shrinkwrap.json": _NPM,
}


#: A file that configures a package manager, and holds no versions to install.
_NO_LOCK = frozenset({"bunfig.toml"})


class _Tool(BaseModel):
    name: str = ""
    version: str = ""


class _Engines(BaseModel):
    package_manager: _Tool | list[_Tool] = Field(_Tool(), alias="packageManager")


class _Workspaces(BaseModel):
    packages: list[str] = []


class Package(BaseModel):
    """A package.json, of which only the needed keys are read; npm's own tools validate the rest."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    scripts: dict[str, str] = {}
    dependencies: dict[str, str] = {}
    dev_dependencies: dict[str, str] = Field({}, alias="devDependencies")
    package_manager: str | None = Field(None, alias="packageManager")
    dev_engines: _Engines = Field(_Engines(), alias="devEngines")
    workspaces: list[str] | _Workspaces | None = None

    @property
    def runnable(self) -> dict[str, str]:
        """The scripts that do something."""
        first = islice(self.scripts.items(), _MOST_SCRIPTS)
        return {name: text for name, text in first if _STUB not in text}

    @property
    def manager(self) -> tuple[str, str]:
        """The name and the version of the package manager that the package asks for."""
        if self.package_manager:
            name, _, version = self.package_manager.partition("@")
            return name, version
        asked = self.dev_engines.package_manager
        tools = asked if isinstance(asked, list) else [asked]
        return (tools[0].name, tools[0].version) if tools else ("", "")

    @property
    def needs(self) -> dict[str, str]:
        """All dependencies of the package."""
        return {**self.dependencies, **self.dev_dependencies}


def read_package(files: BaseFiles, folder: str = "") -> Package | None:
    """Return the package.json of a folder; None if it does not exist or is malformed."""
    path = f"{folder}/{MANIFEST}" if folder else MANIFEST
    try:
        return Package.model_validate_json(files.text(path))
    except ValidationError:
        # Its own tools report a fault; here it only means that nothing is known.
        return None


def manager_of(files: BaseFiles, package: Package) -> tuple[Manager, str | None]:
    """Return the package manager that a package names or whose lock file it has, and that file."""
    lock = next((path for path in _LOCKS if path in files.paths), None)
    name, version = package.manager
    manager = _MANAGERS.get(name) or (_LOCKS[lock] if lock else _NPM)
    if manager is _YARN and (
        ".yarnrc.yml" in files.paths or re.match(r"[2-9]|\d\d", version) is not None
    ):
        manager = _BERRY
    own = (
        path
        for path, owner in _LOCKS.items()
        if owner.name == manager.name and path not in _NO_LOCK
    )
    return manager, next((path for path in own if path in files.paths), None)


def members_of(files: BaseFiles, package: Package) -> dict[str, Package]:
    """Return the readable packages of a workspace below its root, by folder."""
    patterns = [*_patterns(package), *_pnpm_patterns(files)]
    folders = folders_with({MANIFEST}, files.paths) - {""} if patterns else set[str]()
    found = {
        folder: read_package(files, folder)
        for folder in sorted(folders)
        if "node_modules" not in folder.split("/") and is_member(folder, patterns)
    }
    return {folder: member for folder, member in found.items() if member}


def runs_all_members(script: str) -> bool:
    """Return whether a script runs others, named in it, in each member of a workspace."""
    return _ALL_MEMBERS.search(script[:_MOST_CHARACTERS]) is not None


def _patterns(package: Package) -> Iterable[str]:
    workspaces = package.workspaces
    return workspaces.packages if isinstance(workspaces, _Workspaces) else workspaces or ()


def _pnpm_patterns(files: BaseFiles) -> Iterator[str]:
    try:
        document = yaml.safe_load(files.text(_PNPM_WORKSPACE))
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    listed = document.get("packages") if isinstance(document, dict) else None
    yield from map(str, listed if isinstance(listed, list) else ())
