"""The settings of agents and of the models that they use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, SecretStr
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, Positive, env


class AgentSettings(BaseSettings):
    """The default backend, the model's API key, and limits of a run."""

    agent: str | None = env(
        "ORCHESTRATOR_AGENT",
        description="The backend of requests that name none. If it is not set, the backend is"
        " `claude` when a model key is set, and `scripted` otherwise.",
        default=None,
    )
    claude_api_key: SecretStr | None = env(
        "CLAUDE_API_KEY", description="The API key of the model provider.", default=None
    )
    anthropic_api_key: SecretStr | None = env(
        "ANTHROPIC_API_KEY",
        description="The key of the model provider, if CLAUDE_API_KEY is not set.",
        default=None,
    )
    anthropic_base_url: str | None = env(
        "ANTHROPIC_BASE_URL",
        description="The base URL of the model API, if it is not the provider's default.",
        default=None,
    )
    agent_config: Literal["content", "trusted"] = env(
        "ORCHESTRATOR_AGENT_CONFIG",
        description="Whether the configuration of agent programs in a repository (`.claude/`,"
        " `.mcp.json`) is applied. `content`: no; the agent may read the files. `trusted`: yes, all"
        " settings, hooks, permissions, key helpers and MCP servers, but not the address of the"
        " model's provider.",
        default="content",
    )
    hook_timeout_s: Duration = env(
        "ORCHESTRATOR_HOOK_TIMEOUT",
        description="The time limit of one hook of the base commit.",
        default=600.0,
    )
    include_dir: Path | None = env(
        "ORCHESTRATOR_INCLUDE_DIR",
        description="A folder with one subfolder per repository name. The system copies the files"
        " that `.worktreeinclude` lists from there into workspaces.",
        default=None,
    )
    line_limit_bytes: Positive = env(
        "ORCHESTRATOR_LINE_LIMIT_BYTES",
        description="The longest line of an agent's output that is read, in bytes. Longer lines are"
        " truncated.",
        default=16 * 2**20,
    )
    result_grace_s: Duration = env(
        "ORCHESTRATOR_RESULT_GRACE",
        description="How long an agent's program may be silent after its final result before it is"
        " ended. Output, and open tasks and tools, restart the time, up to 15 times as long in"
        " all.",
        default=20.0,
    )
    log_lines: Positive = env(
        "ORCHESTRATOR_LOG_LINES",
        description="The number of log lines that the system stores per agent: the newest.",
        default=10_000,
    )

    log_bytes: ByteSize = env(
        "ORCHESTRATOR_LOG_BYTES",
        description="The memory of Valkey that the log of one agent may use. The newest lines are"
        " kept.",
        default=16 * 2**20,
    )

    @property
    def model_key(self) -> SecretStr | None:
        """The key of the model provider: CLAUDE_API_KEY, else ANTHROPIC_API_KEY."""
        return self.claude_api_key or self.anthropic_api_key

    @property
    def default_agent(self) -> str:
        """The backend of a request without a backend: claude if a key is set, else scripted."""
        return self.agent or ("claude" if self.model_key else "scripted")
