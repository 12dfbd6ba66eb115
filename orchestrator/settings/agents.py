"""The settings of the agents' programs and of the models behind them."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, Positive, env


class AgentSettings(BaseSettings):
    """Which program an agent is, the model's key, and what surrounds a run."""

    agent: str | None = env(
        "ORCHESTRATOR_AGENT",
        description="The backend of requests that name none; without it `claude` where there is a"
        " model key, else `scripted`.",
        default=None,
    )
    claude_api_key: SecretStr | None = env(
        "CLAUDE_API_KEY", description="The key of the model's provider.", default=None
    )
    anthropic_api_key: SecretStr | None = env(
        "ANTHROPIC_API_KEY", description="The same, where CLAUDE_API_KEY is not set.", default=None
    )
    anthropic_base_url: str | None = env(
        "ANTHROPIC_BASE_URL",
        description="Where the model's API is, if not at its provider's usual address.",
        default=None,
    )
    hook_timeout_s: Duration = env(
        "ORCHESTRATOR_HOOK_TIMEOUT",
        description="The time of one hook of the base commit.",
        default=600.0,
    )
    include_dir: Path | None = env(
        "ORCHESTRATOR_INCLUDE_DIR",
        description="Folder with one subfolder for each repository's name, from which what"
        " `.worktreeinclude` names is copied into workspaces.",
        default=None,
    )
    line_limit_bytes: Positive = env(
        "ORCHESTRATOR_LINE_LIMIT_BYTES",
        description="The longest line an agent may print, in bytes; over it the agent fails.",
        default=16 * 2**20,
    )
    log_lines: Positive = env(
        "ORCHESTRATOR_LOG_LINES",
        description="How many of an agent's newest log lines are kept.",
        default=10_000,
    )

    @property
    def model_key(self) -> SecretStr | None:
        """The key of the model provider: CLAUDE_API_KEY, else ANTHROPIC_API_KEY."""
        return self.claude_api_key or self.anthropic_api_key

    @property
    def default_agent(self) -> str:
        """The backend of a request that names none: claude where it has a key."""
        return self.agent or ("claude" if self.model_key else "scripted")
