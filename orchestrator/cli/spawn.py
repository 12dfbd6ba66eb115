"""Spawning an agent, and waiting for its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.text import Text

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.read import (
    detaching,
    elapsed,
    follow,
    json_option,
    plain,
    print_fields,
    print_json,
)
from orchestrator.errors import WaitTimedOut
from orchestrator.lifecycle.fsm import FINAL
from orchestrator.lifecycle.watching import Look
from orchestrator.models import AgentState, AgentType, GateProfile, Outcome, Status
from orchestrator.settings import Settings, parse_duration
from orchestrator.store.executors import Store


class DurationType(click.ParamType[float]):
    """A positive duration such as 90s, 5m or 2h, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse a duration."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--repo", required=True, help="https or ssh address, or a local path.")
@click.option("--branch", required=True, help="The branch to start from.")
@click.option("--item", "items", required=True, multiple=True, help="What to do; may be repeated.")
@click.option(
    "--type",
    "agent_type",
    type=click.Choice(AgentType, case_sensitive=False),
    default=AgentType.WORKER,
)
@click.option("--skill", "skills", multiple=True, help="A skill to use; may be repeated.")
@click.option("--agent", help="The agent backend.")
@click.option(
    "--gate-profile", type=click.Choice(GateProfile, case_sensitive=False), help="The set of gates."
)
@click.option("--gate", "gates", multiple=True, help="A gate of profile custom; may be repeated.")
@click.option("--priority", type=int, help="1 to 10, 10 the most urgent.")
@click.option("--max-retries", type=int, help="How often a rejected change may be mended.")
@click.option("--task", "task_id", metavar="ID", help="The task this agent serves.")
@click.option("--idempotency-key", default="", metavar="KEY", help="The same key: the same agent.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait for the end; exit 0 if completed.")
@json_option
@click.pass_obj
def spawn(
    settings: Settings,
    /,
    *,
    task_id: str | None,
    idempotency_key: str,
    is_waiting: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Spawn an agent on a branch of a repository; prints its id when that is durable."""
    document = _document(task_id or wiring.new_id(), **options)
    operation = wiring.front_door(settings).submit(document, idempotency_key=idempotency_key)
    with open_store(settings) as store:
        agent_id = store.run(operation).agent_id
        if is_waiting:
            with detaching(agent_id):
                click.echo(f"orch: spawned {agent_id}", err=True)
                agent = _wait(store, agent_id, timeout_s=None)
            _finish(agent, as_json=as_json)
        elif as_json:
            print_json({"agentId": agent_id, "status": Status.SPAWNING})
        else:
            click.echo(agent_id)
            click.echo(f"orch: follow it with: orch logs -f {agent_id}", err=True)


@click.command()
@click.argument("agent_id", metavar="ID")
@click.option("--timeout", "timeout_s", type=DurationType(), help="Give up after this long.")
@json_option
@click.pass_obj
def wait(settings: Settings, agent_id: str, *, timeout_s: float | None, as_json: bool) -> None:
    """Wait until an agent has ended; exit 0 if it completed."""
    with open_store(settings) as store, detaching(agent_id):
        agent = _wait(store, agent_id, timeout_s=timeout_s)
    _finish(agent, as_json=as_json)


def _document(
    task_id: str,
    *,
    repo: str,
    branch: str,
    items: tuple[str, ...],
    skills: tuple[str, ...],
    **options: Any,
) -> dict[str, Any]:
    # As git reads it: what exists here, or has no colon, is a path.
    local = Path(repo)
    repository = str(local.resolve()) if local.exists() or ":" not in repo else repo
    context = {"repository": repository, "branch": branch, "workItems": items, "skills": skills}
    given = {to_camel(name): value for name, value in options.items() if value not in (None, ())}
    return {"taskId": task_id, "context": context, **given}


def _wait(store: Store, agent_id: str, *, timeout_s: float | None) -> AgentState:
    give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
    with _progress() as show:
        for look in follow(store, agent_id):
            show(look)
            is_late = give_up_s is not None and time.monotonic() > give_up_s
            if is_late and look.agent.status not in FINAL:
                msg = f"Agent {agent_id} is {look.agent.status} ({look.agent.phase})."
                raise WaitTimedOut(msg)
    return look.agent


@contextmanager
def _progress() -> Iterator[Callable[[Look], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _look: None
        return
    last = ""
    with console.status("") as line:

        def show(look: Look) -> None:
            nonlocal last
            agent = look.agent
            last = " ".join(look.lines[-1].text.split()) if look.lines else last
            facts = f"{agent.phase}  {elapsed(agent)}  {agent.usage.total_tokens} tokens"
            # Text, not markup: the agent's words are data.
            text = Text.assemble((facts, "bold"), "  ", (plain(last), "dim"))
            text.truncate(console.width - 3, overflow="ellipsis")
            line.update(text)

        yield show


def _finish(agent: AgentState, *, as_json: bool) -> None:
    document = Outcome.of(agent).model_dump(mode="json", by_alias=True)
    (print_json if as_json else print_fields)(document)
    if agent.status is not Status.COMPLETED:
        click.get_current_context().exit(1)
