"""Installs the other services, at pinned versions, into build/peers."""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.bench.peers.stacks import BUILD, HERE

_WITHIN_S = 300


def main() -> None:
    """Install what npm and PyPI have; does nothing for files that have not changed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    # A module of Node.js finds its packages beside itself.
    shutil.copy(HERE / "nest_app.mjs", BUILD)
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    _install("package.json", "npm", "install", f"--prefix={BUILD}", *quiet)
    if not (BUILD / "venv").exists():
        _run(sys.executable, "-m", "venv", str(BUILD / "venv"))
    pip = (str(BUILD / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check")
    _install("requirements.txt", *pip, f"--requirement={HERE / 'requirements.txt'}")


def _install(wanted: str, *argv: str) -> None:
    installed = BUILD / f".installed-{wanted}"
    text = (HERE / wanted).read_text()
    if installed.exists() and installed.read_text() == text:
        return
    shutil.copy(HERE / wanted, BUILD)
    _run(*argv)
    installed.write_text(text)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=_WITHIN_S)


if __name__ == "__main__":
    main()
