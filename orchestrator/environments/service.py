"""Sets up the environment of a base commit once, and lends it to agents and gates."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.egress.proxies import EgressProxies
from orchestrator.environments.cache import EnvironmentCache, Manifest
from orchestrator.environments.failures import setup_error
from orchestrator.environments.products import find_sources, ignore_patterns, keep_products
from orchestrator.environments.recipe import Recipe, make_recipe
from orchestrator.environments.steps import EcosystemSetup, Step
from orchestrator.environments.toolchain import Toolchain, find_toolchain
from orchestrator.errors import DiskFull, EnvironmentFailed
from orchestrator.gates.detection import BaseFiles, Detector
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.log import get_logger
from orchestrator.repo_config import read_repo_config
from orchestrator.settings import Settings
from orchestrator.workspace.checkout_refs import write_refs
from orchestrator.workspace.disk import free_bytes, naming_full_disk, remove_tree, used_bytes
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.submodules import Submodules
from orchestrator.workspace.worktree import materialise

#: It changes when the meaning of a recipe changes.
_FORMAT = 2
#: Output of a command beyond this limit is dropped.
_OUTPUT_LIMIT_BYTES = 2**22
_MOST_KEPT = 64
_SIZE_S = 120.0

log = get_logger("environments")


@dataclass(frozen=True)
class Borrower:
    """The attempt for which an environment is needed."""

    agent_id: str
    attempt: int
    #: Raises an error that must end the set-up: a kill, a lost lease.
    check: Callable[[], None]
    #: Writes a line to the agent's log.
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class _Planned:
    recipe: Recipe
    toolchain: Toolchain
    digest: str


@dataclass(frozen=True)
class Environments:
    """The environments of this host, under `environments/` of its home."""

    mirrors: Mirrors
    detectors: Sequence[Detector]
    sandbox: Sandbox
    egress: EgressProxies
    settings: Settings
    git: Git
    _recipes: dict[Base, Recipe] = field(default_factory=dict)

    @property
    def cache(self) -> EnvironmentCache:
        """The stored environments."""
        settings = self.settings
        return EnvironmentCache(settings.home / "environments", settings.environments_quota_bytes)

    @property
    def _submodules(self) -> Submodules:
        return Submodules(self.settings, self.git)

    def is_needed(self, base: Base) -> bool:
        """Return whether a base commit has anything to set up.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        return bool(self._recipe(base).parts or self._recipe(base).variables)

    def kinds(self, base: Base) -> frozenset[str]:
        """Return the ecosystems of a base commit that have something to set up.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        return self._recipe(base).kinds

    @contextmanager
    def held(self, base: Base, borrower: Borrower) -> Iterator[Environment | None]:
        """Lend the environment of a base commit; set it up if it does not exist yet.

        Yields None if there is nothing to set up. While it is lent, it is not removed. Concurrent
        calls wait for one set-up.

        Raises:
            EnvironmentFailed: a command failed, or this host lacks something.
            RepoConfigInvalid: the configuration of the base commit is malformed.
            DiskFull: the disk is full; the rest of the set-up is removed.
        """
        if not self.is_needed(base):
            yield None
            return
        planned, cache = self._planned(base), self.cache
        started = time.monotonic()
        while True:
            lock = cache.locked(planned.digest, is_exclusive=False, check=borrower.check)
            with lock:
                if manifest := cache.ready(planned.digest):
                    cache.touch(planned.digest)
                    spent_s = time.monotonic() - started
                    borrower.say(f"environment {planned.digest[:12]} ready after {spent_s:.1f} s")
                    yield manifest.environment
                    return
            with cache.locked(planned.digest, is_exclusive=True, check=borrower.check):
                if cache.ready(planned.digest) is None:
                    with naming_full_disk(cache.root(planned.digest)):
                        self._set_up(planned, base, borrower)

    def products(self, base: Base) -> tuple[str, ...]:
        """Return the patterns of the paths that a set-up placed in the checkouts of a base."""
        if not self.is_needed(base):
            return ()
        manifest = self.cache.manifest(self._planned(base).digest)
        return ignore_patterns(manifest.environment.products) if manifest else ()

    # ── what is set up ──────────────────────────────────────────────────────────────────────

    def _recipe(self, base: Base) -> Recipe:
        if self.settings.environments == "off":
            return Recipe((), ())
        if base not in self._recipes:
            while len(self._recipes) >= _MOST_KEPT:
                self._recipes.pop(next(iter(self._recipes)), None)
            paths = self.mirrors.paths(base)

            def read(path: str) -> bytes | None:
                return self.mirrors.read(base, path) if path in paths else None

            self._recipes[base] = make_recipe(
                read_repo_config(read),
                BaseFiles(read, paths),
                self.detectors,
                is_detected=self.settings.environments == "auto",
                which=self._which,
            )
        return self._recipes[base]

    def _which(self, program: str) -> str | None:
        if self.settings.sandbox_enabled:
            return program
        return shutil.which(program, path=host_environment(self.settings).get("PATH"))

    def _planned(self, base: Base) -> _Planned:
        recipe, settings = self._recipe(base), self.settings
        versions = {part.python for part in recipe.parts}
        toolchain = find_toolchain(recipe.kinds, versions, settings, self.sandbox.image())
        contents = self.mirrors.contents(base)
        facts = {
            "format": _FORMAT,
            "level": self.sandbox.level,
            "toolchain": asdict(toolchain) | {"readable": [str(p) for p in toolchain.readable]},
            "parts": [asdict(part) for part in recipe.parts],
            "variables": recipe.variables,
            "operator": settings.setup_values,
            "inputs": {path: contents.get(path) for path in recipe.inputs},
            "submodules": self._pins(base),
            "refs": settings.checkout_refs,
        }
        text = json.dumps(facts, sort_keys=True)
        return _Planned(recipe, toolchain, hashlib.sha256(text.encode()).hexdigest())

    def _pins(self, base: Base) -> dict[str, str]:
        """Return the commit of each submodule whose content a set-up finds in its checkout."""
        if self.settings.submodules == "none":
            return {}
        found = self._submodules.of(base.mirror, base.commit, base.repository)
        return {one.path: one.commit for one in found if not one.reason}

    # ── the set-up ──────────────────────────────────────────────────────────────────────────

    def _set_up(self, planned: _Planned, base: Base, borrower: Borrower) -> None:
        """Set an environment up whose exclusive lock is held; on any failure nothing is left."""
        self._check_hosts(planned.recipe)
        cache, started = self.cache, time.monotonic()
        cache.trim()
        root = cache.clear(planned.digest)
        low_bytes = self.settings.disk_low_water_bytes
        if free_bytes(root) < low_bytes:
            msg = f"{root.parent}: less than {low_bytes.human_readable()} are free for a set-up."
            raise DiskFull(msg)
        borrower.say(f"environment {planned.digest[:12]} is set up")
        try:
            for folder in (root, root / "home", root / "tmp"):
                folder.mkdir(mode=0o755)
            tree = root / "tree"
            materialise(self.git, tree, source=base.mirror, commit=base.commit)
            self._submodules.lay_out(tree, base.commit, base.repository)
            if self.settings.checkout_refs == "all":
                write_refs(self.git, tree / ".git", base)
            environment = self._environment(planned, root)
            self._run_parts(planned, base, environment, borrower)
            environment = self._finished(environment, planned.recipe, base)
            size_bytes = used_bytes(root, within_s=_SIZE_S)
        except BaseException:
            remove_tree(root)
            raise
        spent_s = time.monotonic() - started
        cache.record(
            planned.digest,
            Manifest(environment=environment, size_bytes=size_bytes, setup_s=spent_s),
        )
        log.info("environment ready", digest=planned.digest, seconds=round(spent_s, 1))
        cache.trim()

    def _check_hosts(self, recipe: Recipe) -> None:
        if not self.settings.has_egress_proxy:
            return
        wanted = [host if ":" in host else f"{host}:443" for host in recipe.hosts]
        lacking = sorted({host.lower() for host in wanted} - set(self.settings.egress_hosts))
        if lacking:
            named = ", ".join(lacking)
            msg = f"[environment] network names {named}, and this host does not allow it."
            action = "Fix the host: add it to ORCHESTRATOR_EGRESS_HOSTS, if set-ups may reach it."
            raise EnvironmentFailed(msg, action=action)

    def _environment(self, planned: _Planned, root: Path) -> Environment:
        kinds, variables = planned.recipe.kinds, dict(planned.recipe.variables)
        path = [str(root / "node" / "bin")] if "node" in kinds else []
        if "python" in kinds:
            path.append(str(root / "venv" / "bin"))
            variables["VIRTUAL_ENV"] = str(root / "venv")
        if "go" in kinds:
            variables["GOMODCACHE"] = str(root / "go")
        if "rust" in kinds:
            variables["CARGO_HOME"] = str(root / "cargo")
        toolchain = planned.toolchain
        return Environment(
            root=root,
            variables=variables,
            path=(*path, *toolchain.path),
            readable=toolchain.readable,
        )

    def _run_parts(
        self, planned: _Planned, base: Base, environment: Environment, borrower: Borrower
    ) -> None:
        parts = list(planned.recipe.parts)
        if "python" in planned.recipe.kinds:
            venv = f'{planned.toolchain.python} -m venv "$VIRTUAL_ENV"'
            parts.insert(0, EcosystemSetup("python", (Step(venv),)))
        deadline = time.monotonic() + self.settings.setup_timeout_s
        for part in parts:
            (environment.root / "constraints.txt").write_text(part.constraints, encoding="utf-8")
            for step in part.steps:
                self._run(step, base, environment, borrower, deadline - time.monotonic())

    def _run(
        self,
        step: Step,
        base: Base,
        environment: Environment,
        borrower: Borrower,
        left_s: float,
    ) -> None:
        settings, root = self.settings, environment.root
        borrower.say(f"setup: {step.command}")
        with self.egress.opened(root, hosts=settings.egress_hosts) as proxy:
            socket = proxy.socket if proxy else None
            spec = ProcessSpec(
                agent_id=borrower.agent_id,
                argv=("/bin/sh", "-c", step.command),
                env={
                    **host_environment(settings),
                    "HOME": str(root / "home"),
                    "TMPDIR": str(root / "tmp"),
                    "CI": "true",
                    "ORCH_ENVIRONMENT": str(root),
                    # Otherwise the folders of modules could not be removed.
                    **({"GOFLAGS": "-modcacherw"} if "GOMODCACHE" in environment.variables else {}),
                    **environment.variables,
                    **settings.setup_values,
                    **egress_environment(socket),
                },
                cwd=environment.tree / step.folder,
                attempt=borrower.attempt,
                root=root,
                readable=(base.mirror / "objects", *environment.readable),
                path=environment.path,
                has_network=not settings.has_egress_proxy,
                egress=socket,
            )
            ended = run_to_end(
                self.sandbox,
                spec,
                timeout_s=max(left_s, 0.1),
                output_limit_bytes=_OUTPUT_LIMIT_BYTES,
                check=borrower.check,
            )
            refused = proxy.drain_refusals() if proxy else ()
        if ended.timed_out or ended.exit_code != 0:
            secrets = (*settings.secrets, *_long(settings.setup_values))
            raise setup_error(step, ended, tuple(refused), settings.setup_timeout_s, secrets)

    def _finished(self, environment: Environment, recipe: Recipe, base: Base) -> Environment:
        """Return the environment with what its set-up left; the files of the base are removed."""
        root = environment.root
        sources = find_sources(root)
        wanted: Collection[str] | None = {p for part in recipe.parts for p in part.products}
        if recipe.is_configured:
            wanted = None
        products = keep_products(environment.tree, self.mirrors.paths(base), wanted)
        for scratch in ("home", "tmp", "constraints.txt"):
            remove_tree(root / scratch)
        if self.sandbox.level in ("shim", "cgroup"):
            _close([root / name for name in ("venv", "go", "cargo", "node")])
        return environment.model_copy(
            update={"sources": tuple(sources), "products": tuple(products)}
        )


def _long(values: Mapping[str, str]) -> Iterator[str]:
    """Yield values that do not occur in any text by chance."""
    return (value for value in values.values() if len(value) >= len("secret"))


def _close(folders: Sequence[Path]) -> None:
    """Make folders unwritable, where no sandbox does: a program could change them by mistake."""
    for folder in folders:
        for at, names, files in os.walk(folder):
            for name in (*names, *files):
                path = Path(at, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & ~0o222)
