"""The steps of an agent's life, and what makes it wait at one of them, once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

#: What an agent is at when it is met, and what its state says then.
STEPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "claimed": ("spawning", "preparing"),
        "cloned": ("spawning", "preparing"),
        "running": ("running", "executing"),
        "captured": ("running", "executing"),
        "gating": ("running", "gating"),
        "verdict": ("running", "gating"),
        "committed": ("running", "gating"),
        "pushing": ("running", "delivering"),
        "pushed": ("running", "delivering"),
        "cleaning": ("completed", "ended"),
    }
)
SPAWN_STEPS = ("claimed", "cloned", "running", "captured")
GATES_STEPS = ("gating", "verdict", "committed", "pushing", "pushed")
#: An agent waits at its step only the first time that it comes there.
_HOLD = """#!/bin/sh
mkdir "{holds}/$1" 2>/dev/null || exit 0
until [ -e "{holds}/$1/go" ]; do sleep 0.05; done
"""
#: An agent's id begins with its step. The gates leave a file, to tell the second look at the target
#: branch and the commit that leaves from what was before them.
_GIT = """#!/bin/sh
step=${{ORCH_AGENT_ID%%-*}}
judged={holds}/judged-$step
case "$step $1" in
    "claimed fetch" | "cloned ls-tree")
        {hold} "$step" ;;
    "cleaning push" | "pushing push")
        # The spawn only asks whether the remote takes a push.
        [ ! -e "$judged" ] || {hold} "$step" ;;
    "pushed ls-remote")
        # What the spawn reads of the remote is no push.
        [ ! -e "$judged" ] || [ "$2" != -- ] || {hold} "$step" ;;
    "verdict fetch")
        [ ! -e "$judged" ] || {hold} "$step" ;;
    "captured bundle")
        {git} "$@" && {hold} "$step"
        exit ;;
    "committed commit-tree")
        if [ -e "$judged" ]; then
            {git} "$@" && {hold} "$step"
            exit
        fi ;;
esac
exec {git} "$@"
"""
_GATE = """step=${{ORCH_AGENT_ID%%-*}}
[ "$step" != gating ] || {hold} gating
touch {holds}/judged-$step
[ "$(cat made.txt)" = "made by $step" ] && echo right
"""


def put_programs(holds: Path, programs: Path) -> None:
    """Write the `git` that waits, and what all wait with."""
    for made in (holds, programs):
        made.mkdir(parents=True)
    real = shutil.which("git")
    for path, text in ((holds / "hold", _HOLD), (programs / "git", _GIT)):
        path.write_text(text.format(holds=holds, hold=holds / "hold", git=real))
        path.chmod(0o755)


def project(holds: Path) -> dict[str, str]:
    """Return the files of the repository the agents work on."""
    gate = _GATE.format(hold=holds / "hold", holds=holds)
    return {
        "pyproject.toml": '[tool.orchestrator.gates]\ntests = "sh gate.sh"\n',
        "gate.sh": gate,
    }
