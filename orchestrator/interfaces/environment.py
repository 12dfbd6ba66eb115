"""The environment of a repository that agents and gates use, as the set-up stores it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.interfaces.sandbox import SandboxImage


class Environment(BaseModel):
    """A repository's environment on this host: installed once, and only read afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The folder of the environment, which programs may read.
    root: Path
    #: The variables of its programs.
    variables: dict[str, str] = {}
    #: The folders that come first on PATH.
    path: tuple[str, ...] = ()
    #: The folders of a checkout from which Python imports the installed packages of the tree.
    sources: tuple[str, ...] = ()
    #: The paths that each checkout gets a copy of, such as node_modules.
    products: tuple[str, ...] = ()
    #: Further folders of this host that its programs read, such as the interpreter of a venv.
    readable: tuple[Path, ...] = ()
    #: The image in which its programs run; None for the operator's, and outside Docker.
    image: SandboxImage | None = None

    def variables_in(self, checkout: Path) -> dict[str, str]:
        """Return the variables of a program that works in a checkout of the repository."""
        if not self.sources:
            return dict(self.variables)
        places = os.pathsep.join(str(checkout / source) for source in self.sources)
        return {**self.variables, "PYTHONPATH": places}

    @property
    def shown(self) -> tuple[Path, ...]:
        """The paths that a sandbox must show to its programs."""
        return (self.root, *self.readable)

    @property
    def tree(self) -> Path:
        """The folder in which it was set up; it contains the products only."""
        return self.root / "tree"
