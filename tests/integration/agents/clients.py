"""The agent programs that `make agents` installs, and a double of the provider of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.gemini_api import GeminiApi
from tests.doubles.messages_api import MessagesApi, Text, ToolCall, Turn
from tests.doubles.openai_api import OpenAiApi

PROGRAMS = Path(__file__).parents[3] / "build" / "agents" / "node_modules" / ".bin"
KEY = "sk-seen-by-the-double-alone"


@dataclass(frozen=True)
class Client:
    """A backend, its program, and how its model is played."""

    backend: str
    program: str
    double: Callable[..., Any]
    #: The settings of backend and provider, for the address of the double.
    settings: Callable[[str], dict[str, str]]
    #: Returns the call of its shell tool.
    shell: Callable[[str], ToolCall]
    #: The header in which it sends the key, and the text before the key.
    key_header: tuple[str, str] = ("authorization", "Bearer ")

    @property
    def path(self) -> Path:
        """The program."""
        return PROGRAMS / self.program

    def turns(self, *commands: str, words: str, output_tokens: int = 20) -> list[Turn]:
        """Return turns that run a command each, and one that ends the work with words."""
        runs = [Turn((self.shell(one),), output_tokens) for one in commands]
        return [*runs, Turn((Text(words),), 10)]


def _option(backend: str, **options: str) -> dict[str, str]:
    prefix = f"ORCHESTRATOR_BACKENDS__{backend}__".upper()
    return {f"{prefix}{name}": value for name, value in options.items()}


CODEX = Client(
    backend="codex",
    program="codex",
    double=OpenAiApi,
    settings=lambda url: {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{url}/v1",
        **_option("codex", BINARY=str(PROGRAMS / "codex"), MODEL="gpt-5.4"),
    },
    shell=lambda command: ToolCall("exec_command", {"cmd": command}),
)
ACP = Client(
    backend="acp",
    program="claude-agent-acp",
    double=MessagesApi,
    settings=lambda url: {
        "CLAUDE_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": url,
        **_option(
            "acp",
            ARGV=json.dumps([str(PROGRAMS / "claude-agent-acp")]),
            # By default it repeats a refused request for minutes.
            ENV=json.dumps({"CLAUDE_CODE_MAX_RETRIES": "1"}),
        ),
    },
    shell=lambda command: ToolCall("Bash", {"command": command, "description": "Run"}),
    key_header=("x-api-key", ""),
)
OPENCODE = Client(
    backend="opencode",
    program="opencode",
    double=OpenAiApi,
    settings=lambda url: {
        "OPENAI_COMPATIBLE_API_KEY": KEY,
        "OPENAI_COMPATIBLE_BASE_URL": f"{url}/v1",
        **_option(
            "opencode", BINARY=str(PROGRAMS / "opencode"), PROVIDER="compatible", MODEL="m-1"
        ),
    },
    shell=lambda command: ToolCall("bash", {"command": command, "description": "Run"}),
)
GEMINI = Client(
    backend="gemini",
    program="gemini",
    double=GeminiApi,
    settings=lambda url: {
        "GEMINI_API_KEY": KEY,
        "GEMINI_BASE_URL": url,
        **_option("gemini", BINARY=str(PROGRAMS / "gemini"), MODEL="gemini-3.1-pro-preview"),
    },
    shell=lambda command: ToolCall("run_shell_command", {"command": command, "description": "Run"}),
    key_header=("x-goog-api-key", ""),
)
CLIENTS = (CODEX, ACP, OPENCODE, GEMINI)
#: Of these situations CI plays one client; `make soak` plays all.
SOME = CLIENTS if os.environ.get("AGENTS") == "all" else (CODEX,)


def params(clients: tuple[Client, ...]) -> list[Any]:
    """Return the clients as parameters of a test; it is skipped for one that is not installed."""
    return [
        pytest.param(
            client,
            id=client.backend,
            marks=pytest.mark.skipif(not client.path.exists(), reason="needs `make agents`"),
        )
        for client in clients
    ]
