"""Stand-ins of the programs of all agent backends."""

from __future__ import annotations

from pathlib import Path

PROGRAMS = ("claude", "claude-agent-acp", "codex", "gemini", "opencode", "sh")


def path_of_stand_ins(folder: Path) -> str:
    """Return a PATH with programs that do nothing, under the names that backends look for."""
    programs = folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return str(programs)
