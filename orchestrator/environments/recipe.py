"""The recipe of a repository's environment: its commands, and the files on which it depends."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from orchestrator.environments.python import build_inputs, python_setup
from orchestrator.environments.steps import EcosystemSetup, Step
from orchestrator.gates.detection import BaseFiles, Detector
from orchestrator.gates.detectors._node_packages import manager_of, members_of, read_package
from orchestrator.gates.packages import Package, survey
from orchestrator.repo_config import RepoConfig

#: The lock files and manifests on which an environment depends, by their names. What
#: `orchestrator.toml` says about it is in the commands and variables of the recipe.
_INPUTS = re.compile(
    r"pyproject\.toml|setup\.(?:py|cfg)|tox\.ini|Pipfile(?:\.lock)?|(?:uv|poetry|pdm)\.lock"
    r"|pylock.*\.toml|[\w.-]*(?:requirements|constraints)[\w.-]*\.(?:txt|in)|\.python-version"
    r"|\.pre-commit-config\.yaml|package\.json|package-lock\.json|npm-shrinkwrap\.json|\.npmrc"
    r"|pnpm-(?:lock|workspace)\.yaml|yarn\.lock|\.yarnrc(?:\.yml)?|bun\.lockb?|go\.(?:mod|sum|work)"
    r"|Cargo\.(?:toml|lock)|rust-toolchain(?:\.toml)?"
)
#: Patches are applied to packages of npm as they are installed.
_IN_FOLDER = re.compile(
    r"(?:^|/)(?:(?:requirements|reqs)/[\w.-]+\.(?:txt|in)|patches/[^/]+\.patch)$"
)
#: Package managers that npm installs, if the host has none.
_BY_NPM = {"pnpm": "pnpm", "yarn": "yarn", "bun": "bun"}
#: Dependencies that have no lock file are resolved at the set-up.
_UNLOCKED = "npm install --no-audit --no-fund --no-package-lock"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Recipe:
    """The commands that set an environment up, and what they depend on."""

    parts: tuple[EcosystemSetup, ...]
    #: The files of the base commit on which the result depends.
    inputs: tuple[str, ...]
    #: The variables of set-up, hooks, agents and gates.
    variables: dict[str, str] = field(default_factory=dict)
    #: Whether the repository itself names the commands.
    is_configured: bool = False
    #: The hosts that the set-up connects to.
    hosts: tuple[str, ...] = ()
    #: The image in which everything of the repository runs; empty for the operator's.
    image: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether programs need nothing of it."""
        return not (self.parts or self.variables or self.image)

    @property
    def kinds(self) -> frozenset[str]:
        """The ecosystems of its parts."""
        return frozenset(part.kind for part in self.parts)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The commands of all parts, in order."""
        return tuple(step for part in self.parts for step in part.steps)


def make_recipe(
    config: RepoConfig,
    files: BaseFiles,
    detectors: Sequence[Detector],
    *,
    is_detected: bool = True,
    which: Callable[[str], str | None],
) -> Recipe:
    """Return the recipe of a base commit: the configured one, else that of its lock files.

    `which` finds the programs of the host; a part whose program is missing is left out, and the
    check of the plan reports what its gates lack.
    """
    environment = config.environment
    found = survey(files, detectors).packages if is_detected or environment.setup else ()
    if environment.setup is not None:
        parts = tuple(_configured(environment.setup, {package.kind for package in found}))
    elif is_detected:
        parts = tuple(_detected(config, files, found, which))
    else:
        parts = ()
    inputs = sorted({path for path in files.paths if _is_input(path)} | set(_built(files, found)))
    if environment.files is not None:
        chosen = environment.files
        inputs = sorted(p for p in files.paths if any(f"{p}/".startswith(f"{c}/") for c in chosen))
    return Recipe(
        parts,
        tuple(inputs),
        dict(environment.variables),
        is_configured=environment.setup is not None,
        hosts=environment.network,
        image=environment.image or "",
    )


def image_only(config: RepoConfig) -> Recipe:
    """Return the recipe of a host that installs nothing: the image applies all the same."""
    return Recipe((), (), image=config.environment.image or "")


def _built(files: BaseFiles, packages: Sequence[Package]) -> Iterator[str]:
    for package in packages:
        if package.kind == "Python":
            for path in build_inputs(files.below(package.folder)):
                yield f"{package.folder}/{path}".removeprefix("/")


def _is_input(path: str) -> bool:
    name = path.rpartition("/")[2]
    return bool(_INPUTS.fullmatch(name) or _IN_FOLDER.search(path))


def _configured(commands: Collection[str], kinds: Collection[str]) -> Iterator[EcosystemSetup]:
    """Yield the repository's own commands, with the folders of its ecosystems prepared."""
    steps = tuple(Step(command) for command in commands)
    if not steps:
        return
    if "Python" in kinds or any("pip" in command or "uv " in command for command in commands):
        yield EcosystemSetup("python", ())
    for kind, name in (("go", "Go"), ("rust", "Rust")):
        if name in kinds:
            yield EcosystemSetup(kind, ())
    yield EcosystemSetup("configured", steps)


def _detected(
    config: RepoConfig,
    files: BaseFiles,
    packages: Sequence[Package],
    which: Callable[[str], str | None],
) -> Iterator[EcosystemSetup]:
    own = [entry for gate in config.gates.named for entry in config.gates.of(gate)]
    for package in packages:
        below = files.below(package.folder)
        detected = package.detected.commands
        if detected.keys() <= {"build"}:
            # Nothing of it is checked in most profiles, such as a folder of examples.
            continue
        commands = [command.command for command in detected.values()]
        commands += [e.command for e in own if e.command and (e.folder or "") == package.folder]
        part: EcosystemSetup | None = None
        if package.kind == "Python" and which("python3"):
            part = python_setup(below, package.folder, commands)
        elif package.kind == "Node" and which("npm"):
            part = _node(below, package.folder, which)
        elif package.kind == "Go" and which("go"):
            part = _go(below, package.folder, commands)
        elif package.kind == "Rust" and which("cargo"):
            part = _rust(below, package.folder)
        if part is not None:
            yield part


def _go(files: BaseFiles, folder: str, commands: Collection[str]) -> EcosystemSetup | None:
    if not re.search(r"^\s*require\b", files.text("go.mod"), re.MULTILINE):
        return None
    # A module outside the workspace around it must be read without that workspace.
    alone = "GOWORK=off " if any(command.startswith("GOWORK=off ") for command in commands) else ""
    return EcosystemSetup("go", (Step(f"{alone}go mod download", folder),))


def _node(
    files: BaseFiles, folder: str, which: Callable[[str], str | None]
) -> EcosystemSetup | None:
    package = read_package(files)
    if package is None:
        return None
    manager, lock = manager_of(files, package)
    members = members_of(files, package)
    if not any(each.needs for each in (package, *members.values())):
        return None
    install = manager.install
    if lock is None:
        install = _UNLOCKED if manager.name == "npm" else f"{manager.name} install"
    steps = [Step(install, folder)]
    if manager.name in _BY_NPM and which(manager.name) is None:
        steps.insert(
            0, Step(_install_manager(manager.install, manager.name, package.package_manager))
        )
    places = [f"{at}/node_modules".strip("/") for at in (folder, *(
        f"{folder}/{member}".strip("/") for member in members))]  # fmt: skip
    return EcosystemSetup("node", tuple(steps), tuple(places))


def _install_manager(install: str, name: str, declared: str | None) -> str:
    version = (declared or "").partition("@")[2].partition("+")[0]
    exact = f"@{version}" if _VERSION.fullmatch(version) else ""
    is_berry = name == "yarn" and "--immutable" in install
    wanted = f"@yarnpkg/cli-dist{exact}" if is_berry else f"{_BY_NPM[name]}{exact}"
    # The host's own configuration, such as its registry, is below the prefix that is replaced here.
    options = (
        '--global --globalconfig "$(npm config get globalconfig)" --prefix "$ORCH_ENVIRONMENT/node"'
        " --no-audit --no-fund"
    )
    return f"npm install {options} {shlex.quote(wanted)}"


def _rust(files: BaseFiles, folder: str) -> EcosystemSetup:
    if "Cargo.lock" in files.paths:
        return EcosystemSetup("rust", (Step("cargo fetch --locked", folder),))
    # Later runs are offline, so each checkout gets the versions that this one resolves.
    return EcosystemSetup(
        "rust", (Step("cargo fetch", folder),), (f"{folder}/Cargo.lock".strip("/"),)
    )
