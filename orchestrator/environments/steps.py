"""One ecosystem's part of a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A shell command of a set-up, and the folder of the checkout in which it runs."""

    command: str
    folder: str = ""

    @property
    def shown(self) -> str:
        """The command as a user would type it at the root of the repository."""
        return f"cd {self.folder} && {self.command}" if self.folder else self.command


@dataclass(frozen=True)
class EcosystemSetup:
    """The commands of one ecosystem, and the paths that they leave for each checkout."""

    kind: str
    steps: tuple[Step, ...]
    products: tuple[str, ...] = ()
    #: The text of the file `constraints.txt` in the environment, for pip.
    constraints: str = ""
    #: The versions of Python that the project accepts, as in `requires-python`.
    python: str = ""
