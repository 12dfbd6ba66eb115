"""The settings of agents and of the models that they use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Json, SecretStr

from orchestrator.settings.values import BaseUrl, Duration, Positive, SettingsGroup, env

_AgentType = Literal["worker", "reviewer", "tester"]


class ModelDefaults(BaseModel):
    """The defaults of one agentType; None for those of the backend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str | None = None
    model: str | None = None
    effort: str | None = None


class AgentSettings(SettingsGroup):
    """The default backend, the model's API key, and limits of a run."""

    agent: str | None = env(
        "ORCHESTRATOR_AGENT",
        description="The default backend. Unset: `claude` with an Anthropic key, else `scripted`.",
        default=None,
    )
    models: Json[dict[_AgentType, ModelDefaults]] = env(
        "ORCHESTRATOR_MODELS",
        description="The default backend, model and effort of each agentType, a JSON object such as"
        ' `{"worker": {"model": "sonnet", "effort": "medium"}, "reviewer": {"agent": "claude",'
        ' "model": "opus"}}`. Model and effort apply to the `agent` beside them, else to'
        " ORCHESTRATOR_AGENT. A request, and then its repository, take precedence.",
        default_factory=lambda: "{}",
    )
    claude_api_key: SecretStr | None = env(
        "CLAUDE_API_KEY", description="The API key of Anthropic.", default=None
    )
    anthropic_api_key: SecretStr | None = env(
        "ANTHROPIC_API_KEY",
        description="It is read if CLAUDE_API_KEY is not set.",
        default=None,
    )
    anthropic_base_url: BaseUrl | None = env(
        "ANTHROPIC_BASE_URL",
        description="A gateway's URL in place of Anthropic's, without `/v1`.",
        default=None,
    )
    openai_api_key: SecretStr | None = env(
        "OPENAI_API_KEY", description="The API key of OpenAI.", default=None
    )
    openai_base_url: BaseUrl | None = env(
        "OPENAI_BASE_URL",
        description="A gateway's URL in place of OpenAI's, with `/v1`.",
        default=None,
    )
    gemini_api_key: SecretStr | None = env(
        "GEMINI_API_KEY", description="The API key of Google's Gemini API.", default=None
    )
    gemini_base_url: BaseUrl | None = env(
        "GEMINI_BASE_URL",
        description="A gateway's URL in place of Google's, without `/v1beta`.",
        default=None,
    )
    compatible_base_url: BaseUrl | None = env(
        "OPENAI_COMPATIBLE_BASE_URL",
        description="The URL of any server with OpenAI's APIs.",
        default=None,
    )
    compatible_api_key: SecretStr | None = env(
        "OPENAI_COMPATIBLE_API_KEY",
        description="The API key of that server, if it needs one.",
        default=None,
    )
    agent_config: Literal["content", "trusted"] = env(
        "ORCHESTRATOR_AGENT_CONFIG",
        description="Whether the configuration of agent programs in a repository (`.claude/`,"
        " `.codex/`, `.mcp.json`, …) is applied. `content`: no; the agent may read the files."
        " `trusted`: yes, all settings, hooks, permissions, key helpers and MCP servers, but not"
        " the address of the model's provider.",
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
        description="The most memory of one agent's log in Valkey.",
        default=16 * 2**20,
    )

    @property
    def model_key(self) -> SecretStr | None:
        """The key of Anthropic: CLAUDE_API_KEY, else ANTHROPIC_API_KEY."""
        return self.claude_api_key or self.anthropic_api_key

    @property
    def default_agent(self) -> str:
        """The backend of a request without a backend: claude if a key is set, else scripted."""
        return self.agent or ("claude" if self.model_key else "scripted")
