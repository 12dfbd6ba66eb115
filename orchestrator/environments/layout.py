"""The folders of an environment, and the variables that lead its programs there."""

from __future__ import annotations

from pathlib import Path

from orchestrator.environments.recipe import Recipe
from orchestrator.environments.toolchain import Toolchain
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.sandbox import SandboxImage


def new_environment(
    root: Path, recipe: Recipe, toolchain: Toolchain, image: SandboxImage | None
) -> Environment:
    """Return the environment that a recipe sets up in a folder, before its set-up."""
    kinds, variables = recipe.kinds, dict(recipe.variables)
    path = [str(root / "node" / "bin")] if "node" in kinds else []
    if "python" in kinds:
        path.append(str(root / "venv" / "bin"))
        variables["VIRTUAL_ENV"] = str(root / "venv")
    if "go" in kinds:
        variables["GOMODCACHE"] = str(root / "go")
    if "rust" in kinds:
        variables["CARGO_HOME"] = str(root / "cargo")
    return Environment(
        root=root,
        variables=variables,
        path=(*path, *toolchain.path),
        readable=toolchain.readable,
        image=image,
    )
