"""Sets up the environment of a base commit once, and lends it to agents and gates."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from orchestrator.egress.proxies import EgressProxies
from orchestrator.environments.cache import EnvironmentCache, Manifest
from orchestrator.environments.failures import check_hosts, setup_error
from orchestrator.environments.images import find_image, probe
from orchestrator.environments.layout import new_environment
from orchestrator.environments.products import (
    find_sources,
    ignore_patterns,
    keep_products,
    make_unwritable,
)
from orchestrator.environments.recipe import Recipe, image_only, make_recipe
from orchestrator.environments.steps import EcosystemSetup, Step
from orchestrator.environments.toolchain import Toolchain, find_toolchain
from orchestrator.errors import DiskFull
from orchestrator.gates.detection import BaseFiles, Detector
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox, SandboxImage
from orchestrator.log import get_logger
from orchestrator.repo_config import ReadFile, RepoConfig, read_repo_config
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

    @property
    def label(self) -> tuple[str, int]:
        """The agent and the attempt, for the labels of programs."""
        return self.agent_id, self.attempt


@dataclass(frozen=True)
class _Planned:
    recipe: Recipe
    toolchain: Toolchain
    digest: str
    image: SandboxImage | None = None


@dataclass(frozen=True)
class Environments:
    """The environments of this host, under `environments/` of its home."""

    mirrors: Mirrors
    detectors: Sequence[Detector]
    sandbox: Sandbox
    egress: EgressProxies
    settings: Settings
    git: Git
    read_config: Callable[[ReadFile], RepoConfig] = read_repo_config
    _recipes: dict[Base, Recipe] = field(default_factory=dict)
    #: The digest of the environment that was lent last for a base.
    _lent: dict[Base, str] = field(default_factory=dict)

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
        return not self._recipe(base).is_empty

    def kinds(self, base: Base) -> frozenset[str]:
        """Return the ecosystems of a base commit that have something to set up.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        return self._recipe(base).kinds

    def image(self, base: Base) -> str:
        """Return the image that a base commit names; empty if it names none.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        return self._recipe(base).image

    @contextmanager
    def held(self, base: Base, borrower: Borrower) -> Iterator[Environment | None]:
        """Lend the environment of a base commit; set it up if it does not exist yet.

        Yields None if there is nothing to set up. While it is lent, it is not removed. Concurrent
        calls wait for one set-up.

        Raises:
            EnvironmentFailed: a command failed, or this host lacks or refuses something.
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
                    self._lent[base] = planned.digest
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
        # The name of an image may have got another one since.
        digest = self._lent.get(base) or self._planned(base).digest
        manifest = self.cache.manifest(digest)
        return ignore_patterns(manifest.environment.products) if manifest else ()

    # ── what is set up ──────────────────────────────────────────────────────────────────────

    def _recipe(self, base: Base) -> Recipe:
        if base not in self._recipes:
            while len(self._recipes) >= _MOST_KEPT:
                oldest = next(iter(self._recipes))
                self._recipes.pop(oldest, None)
                self._lent.pop(oldest, None)
            self._recipes[base] = self._make_recipe(base)
        return self._recipes[base]

    def _make_recipe(self, base: Base) -> Recipe:
        paths = self.mirrors.paths(base)

        def read(path: str) -> bytes | None:
            return self.mirrors.read(base, path) if path in paths else None

        config = self.read_config(read)
        if self.settings.environments == "off":
            return image_only(config)
        return make_recipe(
            config,
            BaseFiles(read, paths),
            self.detectors,
            is_detected=self.settings.environments == "auto",
            which=self._which,
        )

    def _which(self, program: str) -> str | None:
        if self.settings.sandbox_enabled:
            return program
        return shutil.which(program, path=host_environment(self.settings).get("PATH"))

    def _planned(self, base: Base) -> _Planned:
        recipe, settings = self._recipe(base), self.settings
        versions = {part.python for part in recipe.parts}
        image = find_image(recipe.image, settings, self.sandbox) if recipe.image else None
        identity = str(image or self.sandbox.image())
        toolchain = find_toolchain(recipe.kinds, versions, settings, identity)
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
        digest = hashlib.sha256(text.encode()).hexdigest()
        return _Planned(recipe, toolchain, digest, image)

    def _pins(self, base: Base) -> dict[str, str]:
        """Return the commit of each submodule whose content a set-up finds in its checkout."""
        if self.settings.submodules == "none":
            return {}
        found = self._submodules.of(base.mirror, base.commit, base.repository)
        return {one.path: one.commit for one in found if not one.reason}

    # ── the set-up ──────────────────────────────────────────────────────────────────────────

    def _set_up(self, planned: _Planned, base: Base, borrower: Borrower) -> None:
        """Set an environment up whose exclusive lock is held; on any failure nothing is left."""
        check_hosts(planned.recipe.hosts, self.settings)
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
            environment = new_environment(root, planned.recipe, planned.toolchain, planned.image)
            probe(self.sandbox, environment, borrower.label, borrower.check)
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
                image=environment.image,
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
            make_unwritable([root / name for name in ("venv", "go", "cargo", "node")])
        return environment.model_copy(
            update={"sources": tuple(sources), "products": tuple(products)}
        )


def _long(values: Mapping[str, str]) -> Iterator[str]:
    """Yield values that do not occur in any text by chance."""
    return (value for value in values.values() if len(value) >= len("secret"))
