"""Shell completion: the script of each shell, and the completion of agent ids."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from orchestrator.cli import main, open_store
from orchestrator.cli.output.error_report import AGENT_ID
from orchestrator.errors import OrchestratorError

#: The variable with which click's script requests completions from this program.
COMPLETE = "_ORCH_COMPLETE"
#: A shell shows no more completions on one screen.
_MOST = 200
#: Who presses TAB waits no longer, and is told nothing.
_WITHIN_S = 0.9


class AgentId(click.ParamType[str]):
    """An agent's id; the shell completes ids of stored agents."""

    name = "id"

    def __init__(self, *, is_active: bool = False) -> None:
        self._is_active = is_active

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Store the agent's id in the context, for error reports."""
        del param
        if ctx and value != "-":
            ctx.meta[AGENT_ID] = str(value)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the newest agents first; return nothing if Valkey is unreachable."""
        del ctx, param
        # The completion of commands and options needs none of these imports.
        from orchestrator.models.state_machine import FINAL  # noqa: PLC0415
        from orchestrator.queries import agent_list  # noqa: PLC0415
        from orchestrator.settings import load_settings  # noqa: PLC0415

        try:
            with open_store(load_settings(), limit_s=_WITHIN_S) as store:
                agents = store.follow(agent_list.page(limit=_MOST)).agents
        except OrchestratorError:
            return []
        return [
            CompletionItem(agent.agent_id, help=f"{agent.status} {agent.agent_type}")
            for agent in agents
            if agent.agent_id.startswith(incomplete)
            and not (self._is_active and agent.status in FINAL)
        ]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands and agent ids in a shell.

    bash: add `eval "$(orch completion bash)"` to ~/.bashrc. zsh: the same with zsh in ~/.zshrc.
    fish: add `orch completion fish | source` to config.fish.
    """
    made = get_completion_class(shell)
    if made is None:
        raise AssertionError(shell)
    # Not .source(): for bash it would start a bash to read its version.
    script = made(main, {}, "orch", COMPLETE)
    click.echo(script.source_template % script.source_vars())
