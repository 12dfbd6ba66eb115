"""The plan of gates for a repository or the current checkout, as `orch gates` shows and runs it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from orchestrator.environments.images import find_image
from orchestrator.environments.recipe import Recipe, image_only, make_recipe
from orchestrator.errors import EnvironmentFailed, SandboxUnavailable
from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.plan import Plan, chosen_profile, make_plan
from orchestrator.host.environment import host_environment
from orchestrator.models import GateProfile
from orchestrator.repo_config import ReadFile, RepoConfig, read_repo_config
from orchestrator.settings import Settings
from orchestrator.wiring import host as wiring_host
from orchestrator.wiring import worker as wiring
from orchestrator.workspace.checkout import LocalCheckout, working_files


def files_of(
    settings: Settings, repo: str | None, branch: str, base: str | None
) -> tuple[ReadFile, frozenset[str]]:
    """Return a function that reads the files of the plan, and the paths of all files."""
    if repo is not None:
        mirrors = wiring.mirrors(settings)
        commit = mirrors.refresh(repo, branch)
        return partial(mirrors.read, commit), mirrors.paths(commit)
    if base is not None:
        checkout = LocalCheckout.find(Path.cwd(), base, settings)
        return checkout.read, checkout.paths()
    root, paths = working_files(Path.cwd(), settings)

    def read(path: str) -> bytes | None:
        file = root / path
        return file.read_bytes() if file.is_file() and not file.is_symlink() else None

    return read, paths


def recipe_of(
    settings: Settings, config: RepoConfig, read: ReadFile, paths: frozenset[str]
) -> Recipe:
    """Return how the environment of these files would be set up on this host."""
    if settings.environments == "off":
        return image_only(config)
    path = host_environment(settings).get("PATH")
    return make_recipe(
        config,
        BaseFiles(read, paths),
        wiring_host.detectors(settings),
        is_detected=settings.environments == "auto",
        which=lambda program: (
            program if settings.sandbox_enabled else shutil.which(program, path=path)
        ),
    )


def image_lack(settings: Settings, image: str) -> str:
    """Return why this host runs no program in the image of a repository; empty if it does."""
    if not image:
        return ""
    try:
        find_image(image, settings, wiring_host.sandbox(settings))
    except (EnvironmentFailed, SandboxUnavailable) as error:
        return f"{error.detail} {error.what_to_do}"
    return ""


def plan_of(
    settings: Settings,
    profile: GateProfile | None,
    names: tuple[str, ...],
    read: ReadFile,
    paths: frozenset[str],
) -> Plan:
    """Return the plan of `profile`, else of the repository's profile, else of `standard`."""
    default = GateProfile.CUSTOM if names else GateProfile.STANDARD
    asked = profile or (GateProfile.CUSTOM if names else None)
    return make_plan(
        chosen_profile(read_repo_config(read), asked, default),
        read,
        wiring_host.detectors(settings),
        paths=paths,
        gates=names,
        timeout_s=settings.gate_timeout_s,
    )
