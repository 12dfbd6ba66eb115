"""The files of a repository that agent programs read as instructions or as configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from orchestrator.repo_config.reader import ReadFile

#: Claude Code reads these settings; the second overrides the first.
SETTINGS_FILES = (".claude/settings.json", ".claude/settings.local.json")

#: Programs read such folders and files at the top of a repository, and some in any folder.
_CONFIGURES = re.compile(
    r"(^|/)\.(claude|codex|gemini|cursor|opencode|windsurf|continue|roo|amazonq|qwen|crush)/"
    r"|(^|/)\.(mcp|claude)\.json$|(^|/)\.?opencode\.jsonc?$|(^|/)\.?crush\.json$"
    r"|(^|/)\.aider\.(conf\.yml|model\.settings\.yml)$|^\.vscode/mcp\.json$"
    r"|(^|/)\.claude-plugin/",
    re.IGNORECASE,
)
#: A linked folder is a file in git's eyes.
_LINKED = re.compile(r"(^|/)\.(claude|codex|gemini|cursor|opencode)$", re.IGNORECASE)
_INSTRUCTS = re.compile(
    r"(^|/)(claude(\.local)?|agents?(\.override)?|gemini|qwen|crush|conventions)\.md$"
    r"|(^|/)\.(cursorrules|windsurfrules|clinerules|goosehints|roorules)(/|$)"
    r"|^\.github/(copilot-instructions\.md$|(instructions|prompts|chatmodes|agents)/)"
    r"|^\.junie/",
    re.IGNORECASE,
)
#: Text for an agent below the folders of `_CONFIGURES`.
_TEXT = re.compile(r"(^|/)\.claude/(claude\.md$|rules/)|(^|/)\.cursor/rules/", re.IGNORECASE)


def is_agent_file(path: str) -> bool:
    """Return whether agent programs read this path of a repository by themselves."""
    return bool(_CONFIGURES.search(path) or _LINKED.search(path) or _INSTRUCTS.search(path))


def configuration_in(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that may name a provider, a hook, a permission or a server for an agent.

    Files that are only text for a model, such as CLAUDE.md, are left out.
    """
    return tuple(
        sorted(
            path
            for path in paths
            if (_CONFIGURES.search(path) or _LINKED.search(path)) and not _TEXT.search(path)
        )
    )


def restrictions(read: ReadFile) -> tuple[str, ...]:
    """Return the settings of a repository that may keep Claude Code from writing, each named.

    `read` returns the content of a path of the base commit, or None.
    """
    return tuple(
        f"{key} of {path}" for path in SETTINGS_FILES for key in sorted(_restricting(read(path)))
    )


def _restricting(content: bytes | None) -> set[str]:
    try:
        settings = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return set()
    if not isinstance(settings, dict):
        return set()
    permissions = settings.get("permissions")
    inner = permissions if isinstance(permissions, dict) else {}
    found = {
        f"permissions.{key}"
        for key in ("deny", "ask", "defaultMode", "disableBypassPermissionsMode")
        if inner.get(key)
    }
    return found | {key for key in ("hooks", "sandbox", "availableModels") if settings.get(key)}
