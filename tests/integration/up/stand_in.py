"""An `orch` whose `up` starts the stand-ins of a scenario; run as a program."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import click

from orchestrator.cli import LazyGroup
from orchestrator.cli.commands.up import bring_up
from orchestrator.cli.local.programs import Program, listeners, programs
from orchestrator.settings import Settings, load_settings

PATIENCE_S = 30.0

#: Ends once, after supervisord has taken it for running.
LATE = (
    "import pathlib, signal, sys, time; again = pathlib.Path(sys.argv[1]);"
    "once = again.with_name('once');"
    "(again.touch(), signal.pause()) if once.exists() else"
    " (once.touch(), time.sleep(1.5), sys.exit(3))"
)


def stand_ins(settings: Settings, scenario: str) -> tuple[Program, ...]:
    valkey = programs(settings, flower=False)[0]
    checks = iter(range(1000))
    lacks: Callable[[], str | None] = valkey.lacks or (lambda: "a Valkey without a check")

    def lacks_for_a_while() -> str | None:
        if next(checks) < 8:
            return "its time"
        (settings.home / "valkey-was-ready").touch()
        return lacks()

    def has_noted() -> str | None:
        return None if (settings.home / "notes").exists() else "a note"

    argv = (sys.executable, os.environ["KEEPER"], str(settings.home), str(settings.valkey_port))
    parts = [replace(valkey, lacks=lacks_for_a_while), Program("keeper", argv, lacks=has_noted)]
    if scenario == "dies":
        parts.append(Program("dies", (sys.executable, "-c", "raise SystemExit(3)")))
    if scenario == "late":
        again = settings.home / "again"
        argv_late = (sys.executable, "-c", LATE, str(again))

        def has_been_started_again() -> str | None:
            await_true(again.exists)
            return None

        parts.append(Program("late", argv_late, lacks=has_been_started_again))
    if scenario == "never":
        parts.append(Program("never", argv, lacks=lambda: "its wits"))
    if scenario == "missing":
        parts.append(Program("missing", ("/nowhere/program",)))
    return tuple(parts)


class StandInGroup(LazyGroup):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return up if cmd_name == "up" else super().get_command(ctx, cmd_name)


@click.group(cls=StandInGroup)
@click.pass_context
def orch(ctx: click.Context) -> None:
    ctx.obj = load_settings()


@click.command()
@click.option("--detach", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
@click.option("--scenario", default="well")
@click.pass_obj
def up(settings: Settings, *, detach: bool, as_json: bool, scenario: str) -> None:
    bring_up(
        settings,
        stand_ins(settings, scenario),
        listeners(settings, flower=False),
        run_id=f"run of {settings.home}",
        is_detached=detach,
        as_json=as_json,
        within_s=3.0 if scenario == "never" else 60.0,
    )


def await_true(fact: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


if __name__ == "__main__":
    orch(prog_name="orch")
