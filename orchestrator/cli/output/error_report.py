"""The report of an error on standard error: lines for people, or one JSON document; and its code.

The code is the one of docs/errors.md, where a user looks it up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

from orchestrator.cli.output.exit_codes import Exit, exit_of_error
from orchestrator.cli.output.text import notify, optional_notices
from orchestrator.errors import ApiRefused, OrchestratorError, RequestInvalid

#: The key of the context under which a command stores its agent's id, for error reports.
AGENT_ID = "orchestrator.agent_id"
#: The key of the context that is true if the command was asked for JSON.
AS_JSON = "orchestrator.as_json"
_ABOUT_AN_AGENT = re.compile(r"`orch (status|logs|gates|receipt|diff|export|retry|inspect|why)`")


def code_of(error: OrchestratorError) -> str:
    """Return the code of an error, or of the error that the server of `--api` reported."""
    return (isinstance(error, ApiRefused) and error.remote_code) or error.code


def coded(error: OrchestratorError) -> str:
    """Return the message of an error with its code."""
    return f"{error} [{code_of(error)}]"


def report_error(
    error: OrchestratorError, agent_id: str, *, as_json: bool, exit_code: Exit | None = None
) -> Exit:
    """Print an error; return the exit code of its command, which is that of the error if None."""
    code = exit_of_error(code_of(error)) if exit_code is None else exit_code
    if as_json:
        document = {"error": str(error), "errorCode": code_of(error), "exitCode": int(code)}
        if agent_id:
            document["agentId"] = agent_id
        if isinstance(error, RequestInvalid):
            faults = [{"path": path, "message": message} for path, message in error.faults]
            document["errors"] = faults
        _print(document)
    elif isinstance(error, RequestInvalid):
        *others, (path, message) = error.faults
        for one in others:
            notify(": ".join(one))
        notify(f"{path}: {message} [{error.code}]")
    else:
        notify(about(coded(error), agent_id))
    return code


def report_failures(failed: Sequence[dict[str, Any]], count: int, code: Exit) -> None:
    """Print as JSON which of several agents a command failed for."""
    _print(
        {
            "error": f"{len(failed)} of {count} agents failed.",
            "errorCode": failed[0]["errorCode"],
            "exitCode": int(code),
            "agents": failed,
        }
    )


def report_usage(error: click.ClickException) -> None:
    """Print a refusal of the command line as JSON."""
    message = error.format_message()
    _print({"error": message, "errorCode": RequestInvalid.code, "exitCode": error.exit_code})


def is_json(given: Sequence[str]) -> bool:
    """Return whether arguments that may be invalid ask for JSON."""
    options = given[: [*given, "--"].index("--")]
    return "--json" in options


def about(text: str, agent_id: str) -> str:
    """Return a message with the id of its agent, also in the commands that it names."""
    if not agent_id:
        return text
    # The id is filled in, so that the user can copy the next command.
    text = _ABOUT_AN_AGENT.sub(lambda command: f"{command[0][:-1]} {agent_id}`", text)
    return text if agent_id in text else f"agent {agent_id}: {text}"


def _print(document: dict[str, Any]) -> None:
    with optional_notices():
        click.echo(json.dumps(document).replace("\x7f", "\\u007f"), err=True)
