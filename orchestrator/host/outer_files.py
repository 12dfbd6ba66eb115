"""What tools look for in each folder above the one in which they run, and find above workspaces."""

from __future__ import annotations

from pathlib import Path

_LOOKED_FOR = (
    *("pyproject.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "conftest.py"),
    *("ruff.toml", ".ruff.toml", ".flake8", "mypy.ini", ".coveragerc", ".python-version"),
    *("package.json", "node_modules", "tsconfig.json", "babel.config.js", ".npmrc", ".nvmrc"),
    *("eslint.config.js", ".eslintrc.js", ".eslintrc.json", ".prettierrc", "deno.json"),
    *("go.mod", "go.work", "Cargo.toml", ".cargo", "rust-toolchain.toml", "rustfmt.toml"),
    *("Gemfile", ".rspec", ".rubocop.yml", ".editorconfig", ".tool-versions", ".git"),
)


def tool_files_above(folder: Path) -> list[Path]:
    """Return the files and folders above a folder that would change what tools do in it."""
    above = folder.resolve().parents
    return [path for outer in above for name in _LOOKED_FOR if (path := outer / name).exists()]
