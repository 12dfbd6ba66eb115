"""The files that a change excludes unless the base has them: caches, environments, sessions."""

from __future__ import annotations

from orchestrator.repo_config import CaptureConfig

#: Lines in the format of .gitignore. By their content, a folder with a `pyvenv.cfg` (a virtual
#: environment) and a file `core` or `core.<pid>` that is a memory image are excluded too.
DROPPINGS = (
    *("__pycache__/", "*.pyc", "*.pyo", "*.egg-info/", ".ipynb_checkpoints/"),
    *(".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/"),
    *(".coverage", ".coverage.*", "!.coverage.toml"),
    *("node_modules", ".npm/", ".yarn/cache/", ".eslintcache", "npm-debug.log*"),
    *(".gradle/", ".DS_Store", "Thumbs.db"),
    *(".claude/settings.local.json", ".claude/worktrees/", ".claude/projects/"),
    *(".claude/todos/", ".claude/statsig/", ".claude/shell-snapshots/", ".claude/file-history/"),
    *(".claude/history.jsonl", ".claude/.credentials.json", ".claude.json", ".claude.json.backup"),
    *(".aider*", "!.aider.conf.yml", "!.aiderignore", ".codex/sessions/", ".codex/log/"),
    *(".codex/history.jsonl", ".codex/auth.json", ".gemini/tmp/", ".gemini/oauth_creds.json"),
)


def dropping_patterns(config: CaptureConfig) -> tuple[str, ...]:
    """Return the exclude patterns; if several match, the last one applies."""
    lifted = (one.removeprefix("!") for one in config.include)
    return (*DROPPINGS, *config.ignore, *(f"!{one}" for one in lifted))
