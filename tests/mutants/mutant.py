"""One mutant: a source with one small fault, which the tests of that source must notice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One replaced piece of a source file."""

    path: str
    line: int
    #: What was done: `guard removed`, `operand left out`, `call removed`.
    kind: str
    #: The piece, and the text in its place.
    before: str
    after: str
    #: Where the piece begins in the file, in characters.
    start: int

    def applied(self, source: str) -> str:
        """Return the source with the fault, and as many lines as before."""
        end = self.start + len(self.before)
        if source[self.start : end] != self.before:
            msg = f"{self.path}:{self.line} has changed since this mutant was made."
            raise ValueError(msg)
        lines = " \\\n" * self.before.count("\n")
        return source[: self.start] + self.after + lines + source[end:]

    @property
    def key(self) -> str:
        """Names the mutant in the list of explained ones, whatever its line."""
        text = f"{self.path}\0{self.kind}\0{self.before}\0{self.after}"
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def __str__(self) -> str:
        """Describe the mutant in one line."""
        shown = " ".join(self.before.split())
        place = f"{self.key} {self.path}:{self.line}"
        return f"{place} {self.kind}: {shown} -> {self.after or '(nothing)'}"
