"""The ids of agents as arguments: a unique prefix, several ids, or `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.commands.completion import AgentId
from orchestrator.cli.output.error_report import AGENT_ID, code_of, coded, report_failures
from orchestrator.cli.output.exit_codes import Exit, exit_of_error
from orchestrator.cli.output.render import print_json
from orchestrator.cli.output.text import notify, say
from orchestrator.errors import IdAmbiguous, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.cli.clients.interface import Client

_STDIN = "-"


def agents_argument(*, is_active: bool = False) -> Callable[[Any], Any]:
    """Return the argument `ID...`; `-` reads ids from standard input."""
    return click.argument(
        "agent_ids", metavar="ID...", nargs=-1, required=True, type=AgentId(is_active=is_active)
    )


def typed_ids(given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the command line, and those of standard input for `-`; each once.

    Standard input has ids separated by white space, as `orch ls --ids` prints them.
    """
    found: dict[str, None] = {}
    for one in given:
        for name in sys.stdin.read().split() if one == _STDIN else (one,):
            found[name] = None
    if not found:
        msg = "standard input has no id"
        raise click.UsageError(msg)
    return tuple(found)


def named(client: Client, given: str) -> str:
    """Return the id that an argument names, and store it for error reports."""
    agent_id = client.full_id(given)
    click.get_current_context().meta[AGENT_ID] = agent_id
    return agent_id


def every_id(client: Client, given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that arguments name, each once.

    Raises:
        IdAmbiguous, NotFound: for the first of them that names none, or several.
    """
    return tuple(dict.fromkeys(client.full_id(one) for one in typed_ids(given)))


def each(
    client: Client,
    given: Sequence[str],
    act: Callable[[str], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    *,
    as_json: bool,
    has_titles: bool = False,
) -> None:
    """Do one thing for each agent, and go on after one that fails.

    `act` returns the document of an agent, and `show` prints it as text. The JSON of one agent is
    its document; of several, `{"agents": [document | {agentId, error, errorCode}, ...]}`. If the
    document names another agent, that is `retriedAs`. With JSON, the failures are one document on
    standard error. With titles, a line names the agent before the text of each of several. The exit
    code is that of the first failure.
    """
    names = typed_ids(given)
    if len(names) == 1:
        document = act(named(client, names[0]))
        (print_json if as_json else show)(document)
        return
    # All of them before anything is done: an ambiguous one must not end half of a list.
    documents: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    code = Exit.OK
    for agent_id, error in list(_resolved(client, names)):
        try:
            if error is not None:
                raise error
            document = act(agent_id)
            if not as_json:
                say(f"# agent {agent_id}") if has_titles else None
                show(document)
        except OrchestratorError as failure:
            code = code or exit_of_error(code_of(failure))
            if not as_json:
                notify(f"{agent_id}: {coded(failure)}")
            document = {"error": str(failure), "errorCode": code_of(failure)}
            failed.append({"agentId": agent_id, **document})
        new_id = document.pop("agentId", agent_id)
        shown = {"agentId": agent_id} | ({"retriedAs": new_id} if new_id != agent_id else {})
        documents.append({**shown, **document})
    if as_json:
        print_json({"agents": documents})
        if failed:
            report_failures(failed, len(documents), code)
    click.get_current_context().exit(code)


def _resolved(
    client: Client, names: Sequence[str]
) -> Iterator[tuple[str, OrchestratorError | None]]:
    seen = set()
    for name in names:
        try:
            agent_id = client.full_id(name)
        except IdAmbiguous:
            raise
        except OrchestratorError as error:
            yield name, error
            continue
        if agent_id not in seen:
            seen.add(agent_id)
            yield agent_id, None
