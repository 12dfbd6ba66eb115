"""`orch`: imports each command when it is called, reports errors, and finds Valkey."""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output.error_report import (
    AGENT_ID,
    is_json,
    report_error,
    report_usage,
)
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.text import discard
from orchestrator.cli.values import meant_of
from orchestrator.errors import (
    ApiLacks,
    ArgumentRefused,
    DiskFull,
    OrchestratorError,
    SystemNotRunning,
)

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.store.client import Store

#: Command → its module in `commands/`, and its line in `orch --help`.
_COMMANDS = {
    "up": ("up", "Start all parts on this machine."),
    "down": ("up", "Stop what `orch up` started."),
    "dashboard": ("dashboard", "Print an address that opens the dashboard."),
    "demo": ("demo", "Run one agent from spawn to a pushed branch."),
    "doctor": ("doctor", "Check this machine, and print what to do."),
    "run": ("run", "Run one part of the system, in a container or unit."),
    "healthy": ("run", "Check one part of the system."),
    "spawn": ("spawn", "Spawn an agent on a branch of a repository."),
    "wait": ("wait", "Wait until agents have ended."),
    "ls": ("ls", "List agents, first those that need attention."),
    "status": ("status", "Show the state of an agent."),
    "why": ("why", "Show why an agent waits or failed, and what helps."),
    "top": ("top", "Show the fleet on one screen until q."),
    "recap": ("recap", "Show what the fleet delivered and spent."),
    "inspect": ("inspect", "Show all about an agent, and the next command."),
    "logs": ("logs", "Print the log of an agent."),
    "events": ("events", "Print the events of all agents."),
    "diff": ("retained", "Print the retained change of an agent."),
    "export": ("retained", "Write the retained change of an agent to a file."),
    "retry": ("retained", "Spawn a new agent that continues a retained change."),
    "kill": ("kill", "Kill an agent."),
    "kill-all": ("kill", "Kill all agents, or those that match."),
    "ack": ("ack", "Acknowledge that agents need attention."),
    "receipt": ("kill", "Show the receipt of a kill."),
    "halt": ("kill", "Admit and start no new agents."),
    "resume": ("kill", "Lift a halt."),
    "queues": ("queues", "Show the queues; pause or resume one."),
    "models": ("models", "Show the models and efforts of each backend."),
    "keys": ("keys", "Create, list and revoke API keys."),
    "budget": ("budget", "Show the tokens of today, or change a limit."),
    "fsck": ("fsck", "Find and repair inconsistencies."),
    "init": ("init", "Propose the configuration of the current repository."),
    "gates": ("gates", "Show gate reports, or run gates here."),
    "environments": ("environments", "List or remove what is remembered of base commits."),
    "scan": ("scan", "Scan the current repository for secrets."),
    "audit": ("audit", "Print or verify the audit."),
    "worker": ("worker", "Run the worker of one pool in the foreground."),
    "config": ("config", "Show the settings and their sources, or validate them."),
    "context": ("context", "Name addresses of the API, and choose one."),
    "env": ("env", "Print the addresses of the running system as shell variables."),
    "completion": ("completion", "Print the script for shell completion."),
}


#: Commands that ask no Valkey, or start it, or run for as long as it does.
_WITHOUT_TIMEOUT = frozenset(
    (
        *("up", "down", "demo", "run", "healthy", "scan", "worker", "config", "env", "models"),
        *("completion", "context", "gates run", "init", "environments"),
        # Theirs is how long they wait for an agent; Valkey has its 5 s for each answer.
        *("kill", "kill-all", "wait"),
    )
)


#: Commands about the host on which they run: an API that is named with them is a mistake.
_OF_THIS_HOST = frozenset(
    (
        *("up", "down", "dashboard", "demo", "doctor", "run", "healthy", "keys", "worker", "env"),
        "environments",
    )
)


#: The file of the contexts, below the home.
CONTEXTS_FILE = "contexts.json"

#: Commands that use no API: a context that cannot be read must not stop them.
_WITHOUT_CONTEXT = _OF_THIS_HOST | {"context", "completion", "config", "scan", "init"}


_IN_UTF8 = "Give it in UTF-8."
_AGAIN = (
    "Free space, or mount a read-only disk again, and look at what was done before you run the"
    " command again: `orch ls`."
)


def _open_closed_streams() -> None:
    """Open standard streams that the caller closed, as cron and daemons do, on the null device.

    Else a command would fail at its first line or question, and a socket would get their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode))


class LazyGroup(click.Group):
    """Imports a command's module when it is called, so that `orch --help` stays fast."""

    def main(self, args: Sequence[str] | None = None, *options: Any, **extra: Any) -> Any:
        """Run the command line; with --json, report invalid arguments as JSON too."""
        if args is None:
            _open_closed_streams()
            # Without collections, and a search for pydantic's plugins in all installed packages,
            # the imports of a command take 190 ms of processor time instead of 235.
            gc.disable()
            os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        given = sys.argv[1:] if args is None else [*args]
        if not is_json(given) or not extra.get("standalone_mode", True):
            return super().main(args, *options, **extra)
        try:
            code = super().main(given, *options, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            report_usage(error)
            code = error.exit_code
        except click.Abort:
            code = Exit.FAILED
        return sys.exit(code if isinstance(code, int) else Exit.OK)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        _add_timeout(command, cmd_name)
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name the commands that an unknown one may mean."""
        name = args[0]
        if name in _COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        msg = f"No such command {name!r}.{meant_of(name, _COMMANDS)}"
        raise click.UsageError(msg, ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; report an error in lines that say what to do, and exit with its code."""
        # Stdout carries the answer alone; a command's own lines tell its progress.
        from orchestrator.log import configure_when_needed  # noqa: PLC0415 - `--version` needs none

        configure_when_needed(level=logging.WARNING)
        # Also before the command has read its own options.
        as_json = is_json(ctx.args)
        try:
            return super().invoke(ctx)
        except OrchestratorError as error:
            return ctx.exit(report_error(error, ctx.meta.get(AGENT_ID, ""), as_json=as_json))
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            # An argument of the shell, which neither Valkey nor the API can be asked about.
            refused = ArgumentRefused(f"{error.object!r:.100} is not text.", action=_IN_UTF8)
            return ctx.exit(report_error(refused, "", as_json=as_json))
        except BrokenPipeError:
            discard(sys.stdout)
            return ctx.exit(Exit.PIPE)
        except KeyboardInterrupt:
            return ctx.exit(Exit.INTERRUPTED)
        except OSError as error:
            # The disk takes no write, or the size of the file is limited.
            if not DiskFull.is_cause_of(error) and error.errno != errno.EFBIG:
                raise
            discard(sys.stdout)
            what = error.filename or "The answer"
            full = DiskFull(f"{what} could not be written: {error.strerror}.", action=_AGAIN)
            return ctx.exit(report_error(full, ctx.meta.get(AGENT_ID, ""), as_json=as_json))


def _add_timeout(command: click.Command, path: str) -> None:
    """Give a command, and those below it, the option that limits how long it waits for answers."""
    from orchestrator.cli.deadline import LIMIT_S, TIMEOUT  # noqa: PLC0415 - for --help of all
    from orchestrator.cli.output.render import DurationType  # noqa: PLC0415 - as above

    def remember(ctx: click.Context, _option: click.Parameter, value: float | None) -> None:
        if value is not None:
            ctx.meta[TIMEOUT] = value

    if path in _WITHOUT_TIMEOUT:
        return
    group = command if isinstance(command, click.Group) else None
    asks = group is None or group.invoke_without_command
    if asks and not any("--timeout" in option.opts for option in command.params):
        option = click.Option(
            ["--timeout"],
            type=DurationType(),
            expose_value=False,
            callback=remember,
            help=f"How long to wait for answers. Default: {LIMIT_S:g}s; of the API, 30s.",
        )
        command.params.append(option)
    for name, below in group.commands.items() if group else ():
        _add_timeout(below, f"{path} {name}")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mosaic-orchestrator", message="%(version)s")
@click.option(
    "--api",
    "api_url",
    metavar="URL",
    help="Use the HTTP API at this address, with ORCHESTRATOR_API_KEY, instead of Valkey.",
)
@click.option(
    "--context",
    "context_name",
    metavar="NAME",
    help="Use the HTTP API of this context; `orch context ls` lists them.",
)
@click.pass_context
def main(ctx: click.Context, /, *, api_url: str | None, context_name: str | None) -> None:
    """Spawn, watch and control coding agents."""
    from orchestrator.settings import load_settings  # noqa: PLC0415 - pydantic: --help needs none
    from orchestrator.settings.access import check_api_url  # noqa: PLC0415 - as above

    settings = load_settings()
    if api_url is not None:
        if context_name is not None:
            msg = "--api does not go with --context."
            raise click.UsageError(msg)
        try:
            settings = settings.model_copy(update={"api_url": check_api_url(api_url)})
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--api") from error
    elif context_name is not None or _may_have_context(settings, ctx.invoked_subcommand):
        from orchestrator.cli.contexts import in_context  # noqa: PLC0415 - pydantic, as above

        settings = in_context(settings, context_name)
    is_named = api_url is not None or context_name is not None
    if is_named and ctx.invoked_subcommand in _OF_THIS_HOST:
        raise ApiLacks
    ctx.obj = settings


def _may_have_context(settings: Settings, subcommand: str | None) -> bool:
    # Where nobody named a context, nothing more is imported.
    if subcommand in _WITHOUT_CONTEXT:
        return False
    return settings.context is not None or (settings.home / CONTEXTS_FILE).exists()


@contextmanager
def open_store(
    settings: Settings,
    *,
    is_following: bool = False,
    hint: str = "",
    limit_s: float | None = None,
) -> Iterator[Store]:
    """Open the Valkey of the settings, else that of the system that runs from the home.

    It has the time of this command to answer; where one follows, for each answer. A person who
    waits is told so, with a hint.

    Raises:
        SystemNotRunning: the settings name no Valkey, and no system runs from this home.
        ApiLacks: the settings name an API, and this command needs Valkey.
    """
    if settings.api_url:
        raise ApiLacks
    from orchestrator.cli.deadline import waiting_for_valkey  # noqa: PLC0415 - as above
    from orchestrator.store.client import Store  # noqa: PLC0415 - as above

    store = Store(_valkey_url(settings))
    try:
        with waiting_for_valkey(is_following=is_following, hint=hint, limit_s=limit_s):
            yield store
    finally:
        store.close()


def _valkey_url(settings: Settings) -> str:
    if not settings.is_embedded:
        return settings.valkey_url
    from orchestrator.cli.local.instance import discover_any  # noqa: PLC0415 - as above

    system = discover_any(settings.home)
    if system is None:
        raise SystemNotRunning
    return system.valkey
