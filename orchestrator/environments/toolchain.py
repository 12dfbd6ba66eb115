"""The toolchains of this host that an environment is built on, and their identity."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.host.environment import host_environment
from orchestrator.settings import Settings
from orchestrator.workspace.host_program import run_program

_PROBE_S = 20.0
_PYTHON = (
    "import json, sys; print(json.dumps(["
    "sys.version.split()[0], getattr(sys, '_base_executable', sys.executable), sys.base_prefix]))"
)
#: The names under which hosts have several versions of Python, the newest first.
_PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(15, 8, -1)))
_BOUND = re.compile(r"\s*(>=|<=|<|>|==|!=|~=)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
_VERSIONS = {"go": ("go", "version"), "node": ("node", "--version"), "rust": ("cargo", "-V")}


@dataclass(frozen=True)
class Toolchain:
    """What the set-up of one environment finds on this host, or in the image."""

    #: It changes whenever an environment must be set up anew.
    identity: str
    #: The program that makes virtual environments.
    python: str = "python3"
    #: Folders that come first on PATH.
    path: tuple[str, ...] = ()
    #: Folders of this host that programs must be able to read.
    readable: tuple[Path, ...] = ()


def find_toolchain(
    kinds: Collection[str], versions: Collection[str], settings: Settings, image: str = ""
) -> Toolchain:
    """Return the toolchain of this host for some ecosystems; with an image it is the image's.

    `versions` are the bounds on the version of Python, as in `requires-python`.

    Raises:
        EnvironmentFailed: no Python of this host fits.
    """
    if image:
        return Toolchain(f"image {image}")
    env = host_environment(settings)
    if home := settings.host_env.get("HOME"):
        # Version managers such as pyenv and rustup keep their programs there.
        env["HOME"] = home
    facts: list[str] = []
    python, path, readable = "python3", tuple[str, ...](), tuple[Path, ...]()
    if "python" in kinds:
        version, python, prefix = _python(versions, env)
        facts.append(f"python {version} {python}")
        if not Path(prefix).is_relative_to("/usr"):
            readable = (Path(prefix, "bin"), Path(prefix, "lib"))
    for kind, argv in _VERSIONS.items():
        if kind in kinds:
            facts.append(_said(argv, env) or f"no {argv[0]}")
    root = _said(("rustc", "--print", "sysroot"), env) if "rust" in kinds else ""
    # The programs of rustup choose a toolchain by files of a home that agents do not see.
    if Path(root, "bin", "cargo").exists() and not Path(root).is_relative_to("/usr"):
        path = (str(Path(root, "bin")),)
    return Toolchain("; ".join(facts), python, path, readable)


def accepts(bounds: str, version: str) -> bool:
    """Return whether a version satisfies bounds such as `>=3.9,<4`; unreadable ones accept all."""
    return all(_fits(bound, version) for bound in bounds.split(","))


def _fits(bound: str, version: str) -> bool:
    match = _BOUND.fullmatch(bound)
    if match is None:
        return True
    wanted = tuple(map(int, match[2].split(".")))
    have = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    cut = have[: len(wanted)]
    return {
        ">=": have >= wanted,
        ">": have > wanted and (len(wanted) > 2 or cut != wanted),  # noqa: PLR2004 - a patch level
        "<=": cut <= wanted,
        "<": have < wanted,
        "==": cut == wanted,
        "!=": cut != wanted,
        "~=": have >= wanted and have[: len(wanted) - 1] == wanted[:-1],
    }[match[1]]


def _python(versions: Collection[str], env: Mapping[str, str]) -> tuple[str, str, str]:
    seen: list[str] = []
    for name in _PYTHONS:
        try:
            version, program, prefix = json.loads(_said((name, "-I", "-c", _PYTHON), env))
        except ValueError:
            continue
        if all(accepts(bounds, version) for bounds in versions):
            return version, program, prefix
        seen.append(version)
    wanted = " and ".join(sorted(filter(None, versions))) or "3"
    has = f"it has {', '.join(dict.fromkeys(seen))}" if seen else "it has none"
    msg = f"The repository needs Python {wanted}, and no Python of this host fits ({has})."
    raise EnvironmentFailed(msg, action="Fix the host: install such a Python on the worker's PATH.")


def _said(argv: tuple[str, ...], env: Mapping[str, str]) -> str:
    program = shutil.which(argv[0], path=env.get("PATH"))
    if program is None:
        return ""
    real = os.path.realpath(program)
    # A worker lives for long, and its host may get a newer toolchain meanwhile.
    return _output((program, *argv[1:]), tuple(sorted(env.items())), Path(real).stat().st_mtime_ns)


@cache
def _output(argv: tuple[str, ...], env: tuple[tuple[str, str], ...], stamp: int) -> str:
    del stamp
    try:
        ended = run_program(argv, env=dict(env), timeout_s=_PROBE_S)
    except (OSError, TimeoutError):
        return ""
    return ended.stdout.decode(errors="replace").strip() if ended.exit_code == 0 else ""
