"""Overlays for programs below bubblewrap: the command that mounts them, and whether it works."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from orchestrator.interfaces.sandbox import Overlay

_MOUNT = Path(__file__).with_name("_overlay_mount.py")
_PYTHON = (sys.executable, "-I", "-S")
_PROBE_TIMEOUT_S = 20.0


def overlay_prefix(root: Path, overlays: Sequence[Overlay]) -> tuple[str, ...]:
    """Return what stands before a command so that it finds overlays mounted below `root`."""
    if not overlays:
        return ()
    parts = [
        str(part)
        for one in overlays
        for part in (one.target.relative_to(root), one.lower, one.layer)
    ]
    return (*_PYTHON, str(_MOUNT), str(root), str(len(overlays)), *parts)


def is_offered(folder: Path) -> bool:
    """Return whether an overlay whose layers are in this folder can be mounted, and written to.

    Each file system is tried once: not all of them can hold layers.
    """
    existing = next(at for at in (folder, *folder.parents) if at.is_dir())
    return _is_offered_on(existing.stat().st_dev, existing)


@cache
def _is_offered_on(device: int, folder: Path) -> bool:
    del device
    try:
        with tempfile.TemporaryDirectory(prefix=".overlay-", dir=folder) as name:
            return _is_mounted(Path(name))
    except OSError:
        return False


def _is_mounted(folder: Path) -> bool:
    root, lower, layer = folder / "root", folder / "lower", folder / "layer"
    for made in (root / "target", lower, layer / "upper", layer / "work"):
        made.mkdir(parents=True)
    (lower / "file").write_text("lower", encoding="ascii")
    prefix = overlay_prefix(root, [Overlay(root / "target", lower, layer)])
    script = 'cd "$0" && test -f file && echo upper >file && echo x >new && rm file'
    ran = subprocess.run(
        [*prefix, "sh", "-c", script, str(root / "target")],
        capture_output=True,
        check=False,
        timeout=_PROBE_TIMEOUT_S,
    )
    is_apart = os.listdir(lower) == ["file"] and (layer / "upper" / "new").exists()  # noqa: PTH208
    return ran.returncode == 0 and is_apart
