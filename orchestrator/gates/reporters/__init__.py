"""The recorders of test outcomes: how a gate loads them, and the file that they write."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.gates.outcomes import Outcomes, go_outcomes, recorded_outcomes
from orchestrator.gates.untrusted_file import read_untrusted

_SOURCES = ("orch_outcomes.py", "sitecustomize.py", "node.mjs")
#: The variable of `orch_outcomes.py` and `node.mjs`.
_VARIABLE = "ORCH_OUTCOMES"


@dataclass(frozen=True)
class Recorder:
    """One run of a test command whose outcomes are recorded; use it in a `with` of its folder."""

    folder: Path
    #: Random, so that no test can know it from the repository.
    name: str

    @classmethod
    def install(cls, folder: Path) -> Recorder:
        """Copy the recorders into a new folder, which the test command can read and write."""
        folder.mkdir()
        for source in _SOURCES:
            content = Path(__file__).with_name(source).read_bytes()
            (folder / source).write_bytes(content)
        return cls(folder, secrets.token_hex(16))

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the command, in which its test runners record outcomes."""
        python = filter(None, (str(self.folder), env.get("PYTHONPATH")))
        # `tap` to stdout is what node:test prints without these options.
        node = (
            # An address has no blanks, at which node would split this variable.
            f"--test-reporter={(self.folder / 'node.mjs').as_uri()}",
            f"--test-reporter-destination={os.devnull}",
            "--test-reporter=tap --test-reporter-destination=stdout",
        )
        return {
            **env,
            "PYTHONPATH": os.pathsep.join(python),
            "NODE_OPTIONS": " ".join(node),
            "GOFLAGS": "-v",
            _VARIABLE: str(self.folder / self.name),
        }

    def outcomes(self, output: bytes) -> Outcomes | None:
        """Return what a run recorded, or what its output says of Go tests; None for neither."""
        return recorded_outcomes(self._content() or b"") or go_outcomes(output)

    def is_broken(self, exit_code: int, output: bytes) -> bool:
        """Return whether a run failed because its tools could not load the recorders."""
        marks = (b"--test-reporter", b"orch_outcomes", os.fsencode(self.folder))
        return bool(exit_code) and not self._content() and any(mark in output for mark in marks)

    def _content(self) -> bytes | None:
        try:
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            content = read_untrusted(folder, self.name)
        finally:
            os.close(folder)
        return content if isinstance(content, bytes) else None
