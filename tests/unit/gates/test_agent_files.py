"""The files that agent programs read are known by path, and a change to one is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import ChangeEmpty, HookFailed
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange
from orchestrator.repo_config.agent_files import configuration_in, is_agent_file, restrictions
from orchestrator.stages.spawn.agent_config import naming_restrictions, remove_planted
from orchestrator.workspace.worktree import Workspace

UNCHANGED = "The agent changed nothing."
CONFIGURE = (
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".claude/hooks/stop.sh",
    ".claude/agents/reviewer.md",
    ".claude/commands/deploy.md",
    ".claude/skills/x/SKILL.md",
    ".claude",
    "packages/web/.claude/settings.json",
    ".mcp.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".cursor/mcp.json",
    ".vscode/mcp.json",
    "opencode.json",
    ".opencode/agent/x.md",
    ".Claude/Settings.json",
)
INSTRUCT = (
    *("CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "AGENT.md", "GEMINI.md", "web/AGENTS.md"),
    *(".claude/CLAUDE.md", ".claude/rules/style.md", ".cursorrules", ".cursor/rules/a.mdc"),
    *(".github/copilot-instructions.md", ".windsurfrules", "AGENTS.override.md"),
)
ORDINARY = (
    *("README.md", "docs/agents.py", "src/claude.py", "agents/run.py", "claude/settings.json"),
    *(
        "my.claude.md.txt",
        ".github/workflows/x.yml",
        "CHANGES.md",
        "src/mcp.json",
        ".vscode/a.json",
    ),
)


@pytest.mark.parametrize("path", [*CONFIGURE, *INSTRUCT])
@pytest.mark.parametrize(("before", "after"), [(None, b"x"), (b"x", b"y"), (b"x", None)])
def test_a_change_to_a_file_that_agents_read_is_a_finding_of_its_own_kind(path, before, after):
    assert is_agent_file(path)
    [finding] = [
        one
        for one in find_tampering([FileChange(path, before, after)], ())
        if one.kind == "agent-config-edited"
    ]
    assert finding.path == path


@pytest.mark.parametrize("path", ORDINARY)
def test_other_files_are_none(path):
    assert not is_agent_file(path)
    assert not configuration_in([path])


def test_configuration_is_told_from_text():
    assert set(configuration_in((*CONFIGURE, *INSTRUCT, *ORDINARY))) == set(CONFIGURE)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"permissions": {"deny": ["Bash"]}}, "permissions.deny"),
        ({"permissions": {"defaultMode": "plan"}}, "permissions.defaultMode"),
        (
            {"permissions": {"disableBypassPermissionsMode": "disable"}},
            "permissions.disableBypassPermissionsMode",
        ),
        ({"hooks": {"PreToolUse": []}}, "hooks"),
    ],
)
def test_settings_that_may_prevent_a_change_are_named(settings, named):
    content = {".claude/settings.json": json.dumps(settings).encode()}
    assert restrictions(content.get) == (f"{named} of .claude/settings.json",)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"permissions": 7}', b"\xff", b"[" * 9999, b'{"model": "x"}']
)
def test_settings_that_cannot_be_read_prevent_nothing(content):
    assert restrictions({".claude/settings.json": content}.get) == ()


class Backend:
    def __init__(self, *, ignores: bool) -> None:
        self.ignores_agent_config = ignores


class Mirrors:
    """Mirrors of a base commit with one settings file."""

    def read_some(self, _base: object, _paths: object) -> dict[str, bytes]:
        return {".claude/settings.json": b'{"permissions": {"deny": ["Write"]}}'}


@pytest.mark.parametrize("backend", [Backend(ignores=False), object()])
def test_an_unchanged_tree_names_what_may_have_prevented_the_change(backend: Any):
    mirrors: Any = Mirrors()
    base: Any = None
    with (
        pytest.raises(ChangeEmpty, match=r"permissions\.deny of \.claude/settings\.json") as raised,
        naming_restrictions(backend, mirrors, base),
    ):
        raise ChangeEmpty(UNCHANGED)
    assert "ORCHESTRATOR_AGENT_CONFIG=content" in str(raised.value)


def test_settings_that_are_not_applied_are_not_blamed():
    backend: Any = Backend(ignores=True)
    mirrors: Any = Mirrors()
    base: Any = None
    with pytest.raises(ChangeEmpty) as raised, naming_restrictions(backend, mirrors, base):
        raise ChangeEmpty(UNCHANGED)
    assert raised.value.detail == UNCHANGED


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "a")
    made.home.mkdir(parents=True)
    return made


def test_a_planted_file_is_removed_and_a_link_in_its_place_is_not_followed(workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (workspace.home / ".claude").mkdir()
    (workspace.home / ".claude/.config.json").write_text("{}")
    (workspace.home / ".claude.json").symlink_to(outside)
    remove_planted(workspace, (".claude.json", ".claude/.config.json", "absent/x"))
    assert sorted(path.name for path in workspace.home.rglob("*")) == [".claude"]
    assert outside.read_text() == "kept"


@pytest.mark.parametrize("planted", ["folder", "linked folder", "linked home"])
def test_what_cannot_be_removed_ends_the_attempt(workspace, tmp_path, planted):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".config.json").write_text("{}")
    if planted == "folder":
        (workspace.home / ".claude/.config.json").mkdir(parents=True)
    elif planted == "linked folder":
        (workspace.home / ".claude").symlink_to(outside)
    else:
        workspace.home.rmdir()
        workspace.home.symlink_to(outside)
    with pytest.raises(HookFailed, match="cannot be removed before the start"):
        remove_planted(workspace, (".claude/.config.json", ".config.json"))
    if planted == "linked folder":
        assert (outside / ".config.json").exists()
