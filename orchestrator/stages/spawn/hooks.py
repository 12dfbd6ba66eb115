"""Prepares a new workspace: included files, and the hooks of the base commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import HookFailed
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.lease import Lease
from orchestrator.models.identifiers import repository_name
from orchestrator.repo_config import CONFIG_FILES, ReadFile, read_repo_config
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.workspace.include import INCLUDE_FILE, include

#: The files of the base commit that define the preparation of a workspace.
PREPARED_BY = (*CONFIG_FILES, INCLUDE_FILE)
#: Output of a hook beyond this limit is dropped.
OUTPUT_LIMIT_BYTES = 2**20
_SHOWN_LINES = 20

HookName = Literal["after_create", "before_run", "after_run"]


@dataclass(frozen=True)
class WorkspaceHooks:
    """Prepares one agent's workspace in its sandbox; the log contains the output of the hooks."""

    sandbox: Sandbox
    programs: ProgramContext
    lease: Lease
    read: ReadFile
    #: Writes a line to the agent's log.
    say: Callable[[str], None]

    def include(self) -> None:
        """Copy the files that `.worktreeinclude` of the base commit names from this host.

        Raises:
            IncludeTooLarge: the named files exceed the limit.
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        # The configuration is validated before the agent starts, so that no work is wasted.
        read_repo_config(self.read)
        patterns = self.read(INCLUDE_FILE)
        source = self._source()
        if patterns is None or source is None:
            return
        worktree = self.programs.workspace.worktree
        count = include(source, patterns.decode(errors="replace"), worktree)
        self.say(f"{count} files included from {source}")

    def run(self, name: HookName) -> None:
        """Run one hook to its end; without a command for it do nothing.

        Raises:
            HookFailed: the hook failed or exceeded `hook_timeout_s`.
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        command: str | None = getattr(read_repo_config(self.read).hooks, name)
        if command is None:
            return
        self.say(f"{name}: {command}")
        timeout_s = self.programs.settings.hook_timeout_s
        ended = run_to_end(
            self.sandbox,
            self.programs.program(("sh", "-c", command)),
            timeout_s=timeout_s,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
            check=self.lease.check,
        )
        said = (ended.stdout + ended.stderr).decode(errors="replace").splitlines()
        for line in said[-_SHOWN_LINES:]:
            self.say(line)
        if ended.timed_out:
            msg = f"The hook {name} did not end within {timeout_s:.0f} s."
            raise HookFailed(msg)
        if ended.exit_code != 0:
            last = f" It said: {said[-1][:200]}" if said else ""
            msg = f"The hook {name} ended with exit code {ended.exit_code}.{last}"
            raise HookFailed(msg)

    def _source(self) -> Path | None:
        """Return the folder of this host from which files are included; None if there is none."""
        repository = self.programs.agent.repository
        include_dir = self.programs.settings.include_dir
        if include_dir is not None:
            name = repository_name(repository)
            return include_dir / name if name not in ("", ".", "..") else None
        local = Path(repository)
        return local if local.is_absolute() and (local / ".git").exists() else None
