"""`orch init`: proposes the configuration of a repository, tried once on its newest commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.render import json_option, not_judged_line, print_json
from orchestrator.cli.output.text import notify, one_line, say
from orchestrator.models import GateProfile
from orchestrator.repo_config import CONFIG_FILES, RepoConfig, read_repo_config
from orchestrator.settings import Settings

#: The file that is written.
FILE = CONFIG_FILES[-1]


@click.command()
@click.option(
    "--profile",
    type=click.Choice(
        [p for p in GateProfile if p is not GateProfile.CUSTOM], case_sensitive=False
    ),
    default=GateProfile.STANDARD,
    show_default=True,
    help="The gates to try.",
)
@click.option("--no-run", is_flag=True, help="Run no gate; only show what is found.")
@click.option("--print", "is_printed", is_flag=True, help="Print the file, and write nothing.")
@click.option("--force", is_flag=True, help=f"Replace {FILE} if it exists.")
@json_option
@click.pass_context
def init(
    ctx: click.Context,
    *,
    profile: GateProfile,
    no_run: bool,
    is_printed: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Propose orchestrator.toml for the current checkout, and write it.

    Finds the gates of the newest commit and runs each once on a clean copy of it, as for an agent
    that changes nothing. Shows what passes, and for the rest whether to fix the repository or this
    host. If a gate is red and a change can be compared with it, red_base = "compare" is proposed.
    A committed [environment] is kept; without one, what a devcontainer.json says is proposed.
    The exit code is 3 if no change could be approved with the proposed file.
    """
    # Git, gates and sandboxes are slow to import.
    from orchestrator.cli.local.environment_proposal import (  # noqa: PLC0415 - as above
        proposed_environment,
    )
    from orchestrator.cli.local.gate_plans import plan_of  # noqa: PLC0415 - as above
    from orchestrator.cli.output.repo_config_text import (  # noqa: PLC0415 - as above
        config_text,
        proposed_profile,
    )
    from orchestrator.workspace.checkout import LocalCheckout, LocalCommits  # noqa: PLC0415
    from orchestrator.workspace.git import showable  # noqa: PLC0415 - as above
    from orchestrator.workspace.mirror import Base  # noqa: PLC0415 - as above

    settings: Settings = ctx.obj
    commits = LocalCommits.find(Path.cwd(), settings)
    commit = commits.commit("HEAD")
    checkout = LocalCheckout.find(Path.cwd(), commit, settings)
    if not is_printed:
        _refuse_existing(checkout.root, checkout.read, force=force)

    def read(path: str) -> bytes | None:
        # What stands there is what the proposal replaces.
        return None if path == FILE else checkout.read(path)

    plan = plan_of(settings, profile, (), read, checkout.paths())
    # The address of a user's remote may contain a login.
    origin = showable(commits.origin or str(checkout.root))
    base = Base(commits.objects_dir, commit, origin, checkout.branch())
    environment = proposed_environment(settings, checkout.read, checkout.paths())
    for line in environment.notes:
        notify(line)
    with ExitStack() as stack:
        environment, tried = _tried(stack, settings, plan, base, environment, runs=not no_run)
        for key, reason in environment.withheld.items():
            notify(f"{key} of {environment.source} is proposed as a comment: {reason}")
        started = tried.gates(settings, on_start=lambda name: notify(f"running {name} …"))
        gates = list(started if as_json or is_printed else _printed(started, tried.lack))
    chosen = proposed_profile(profile, gates)
    text = config_text(profile, chosen, gates, plan.not_judged, commit, tried.lack, environment)
    # The proposal must be valid, whatever the names of its files contain.
    config = read_repo_config({FILE: text.encode()}.get)
    passes = chosen is GateProfile.CUSTOM or not any(gate.turn for gate in gates)
    is_ready = passes and not tried.lack
    if not is_printed:
        _write(checkout.root / FILE, text, force=force)
    if as_json:
        print_json(
            {
                "file": FILE,
                "written": not is_printed,
                "commit": commit,
                "profile": chosen.value,
                "approvable": is_ready,
                "environmentError": tried.lack or None,
                "environment": {
                    "source": environment.source or None,
                    "withheld": dict(environment.withheld),
                    "notes": list(environment.notes),
                },
                "gates": [_gate_document(gate) for gate in gates],
                "notJudged": [entry.wire() for entry in plan.not_judged],
                "config": text,
            }
        )
    elif is_printed:
        say(text.rstrip("\n"))
    else:
        for entry in plan.not_judged:
            say(f"not judged  {not_judged_line(entry)}")
        _print_end(config, is_ready=is_ready)
    if not is_ready:
        ctx.exit(Exit.REJECTED)


def _tried(
    stack: ExitStack, settings: Settings, plan: Any, base: Any, environment: Any, *, runs: bool
) -> tuple[Any, Any]:
    """Return the proposed environment and its trial, which ends with the stack.

    If the commands of a devcontainer fail, those that the files of the repository give are tried.
    """
    from orchestrator.cli.local.trial import trial  # noqa: PLC0415 - slow to import

    with ExitStack() as first:
        made = trial(settings, plan, base, runs=runs, say=notify, environment=environment.active)
        tried = first.enter_context(made)
        if not tried.lack or not environment.may_be_less:
            stack.push(first.pop_all())
            return environment, tried
    less = environment.without_setup(tried.lack)
    made = trial(settings, plan, base, runs=runs, say=notify, environment=less.active)
    return less, stack.enter_context(made)


def _refuse_existing(root: Path, read: Any, *, force: bool) -> None:
    pyproject = CONFIG_FILES[0]
    if read_repo_config(lambda path: read(path) if path == pyproject else None).model_fields_set:
        msg = (
            f"{pyproject} has [tool.orchestrator] already: `orch gates plan` shows its effect, and"
            " --print shows a proposal."
        )
        raise click.UsageError(msg)
    file = root / FILE
    if not force and (file.exists() or file.is_symlink()):
        msg = f"{FILE} exists: --print shows a proposal, and --force replaces the file."
        raise click.UsageError(msg)


def _write(file: Path, text: str, *, force: bool) -> None:
    if force:
        making = file.with_name(f"{FILE}.new")
        making.write_text(text, encoding="utf-8")
        making.replace(file)
        return
    with file.open("x", encoding="utf-8") as stream:
        stream.write(text)


def _printed(gates: Iterable[Any], lack: str) -> Iterator[Any]:
    """Yield the gates as they end, and print each."""
    if lack:
        say(f"environment     not set up\n    {one_line(lack)}")
    for gate in gates:
        _print_gate(gate)
        yield gate


def _print_gate(gate: Any) -> None:
    result = gate.result
    status = result.status if result else "not run"
    seconds = f"{result.duration_ms / 1000:.1f} s" if result else ""
    say(f"{status:<14}  {gate.name:<10}  {seconds}".rstrip())
    for command in gate.commands:
        where = f"  in {command.folder}" if command.folder else ""
        say(f"    $ {one_line(command.command)}{where}")
    if gate.turn:
        say(f"    {gate.advice}: {one_line(result.detail)}")
    elif gate.is_red:
        say(f'    proposed with red_base = "compare": {one_line(result.detail)}')


def _print_end(config: RepoConfig, *, is_ready: bool) -> None:
    say(f"\nwrote {FILE} (profile {config.profile})")
    if is_ready:
        say(f"next: git add {FILE} && git commit && git push, then orch spawn")
    else:
        say("no change can be approved until the lines above are fixed; then: orch init --force")


def _gate_document(gate: Any) -> dict[str, Any]:
    result = gate.result
    document = {
        "name": gate.name,
        "status": result.status.value if result else None,
        "turn": gate.turn or None,
        "detail": result.detail if result and (gate.turn or gate.is_red) else None,
        "durationMs": result.duration_ms if result else None,
        "commands": [
            {"command": one.command, "folder": one.folder, "because": one.source}
            for one in gate.commands
        ],
    }
    return {name: value for name, value in document.items() if value is not None}
