"""`orch gates`: shows gate reports, runs gates on the current checkout, or shows their plan."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.completion import AgentId
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.render import json_option, not_judged_line, print_json
from orchestrator.cli.output.text import notify, say
from orchestrator.cli.values import REPOSITORY, ChoiceType
from orchestrator.models import AgentType, GateProfile, GateReport, GateResult
from orchestrator.repo_config import read_repo_config
from orchestrator.settings import Settings

#: The agent id of a run on a checkout, which has no agent.
LOCAL = "local"


class _ShowsByDefault(click.Group):
    """`orch gates ID` is `orch gates show ID`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = args and (args[0] in self.commands or args[0].startswith("-"))
        return super().resolve_command(ctx, args if known else ["show", *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        ids = AgentId().shell_complete(ctx, self.params[0], incomplete) if incomplete else []
        return [*super().shell_complete(ctx, incomplete), *ids]


@click.group(cls=_ShowsByDefault)
def gates() -> None:
    """Show the gate reports of an agent (`orch gates ID`), run gates here, or show their plan."""


_profile_option = click.option(
    "--profile",
    type=ChoiceType(GateProfile),
    help="The gates to run. Default: the profile of the repository, else standard.",
)
_gate_option = click.option(
    "--gate", "names", multiple=True, help="A gate of the profile custom. Repeatable."
)


@gates.command()
@_profile_option
@_gate_option
@click.option(
    "--base",
    default="main",
    show_default=True,
    help="The branch or commit that the work started from.",
)
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    *,
    profile: GateProfile | None,
    names: tuple[str, ...],
    base: str,
    as_json: bool,
) -> None:
    """Run the gates on the current checkout. The exit code is 3 if they reject it.

    The plan is read from the merge base with --base, as it is for an agent. The gates run in place,
    with uncommitted changes and with the packages that the project has installed.
    """
    # Git, gates and sandboxes are slow to import, and `orch gates show` needs none of them.
    from orchestrator.cli.local.gate_plans import plan_of  # noqa: PLC0415 - as above
    from orchestrator.stages.gate_check.gate_runner import (  # noqa: PLC0415 - as above
        GateRun,
        verdict_of,
    )
    from orchestrator.wiring import worker as wiring_worker  # noqa: PLC0415 - as above
    from orchestrator.workspace.checkout import LocalCheckout  # noqa: PLC0415 - as above

    settings: Settings = ctx.obj
    checkout = LocalCheckout.find(Path.cwd(), base, settings)
    plan = plan_of(settings, profile, names, checkout.read, checkout.paths())
    if image := read_repo_config(checkout.read).environment.image:
        notify(f"the gates run here, not in the image {image}")
    for gate in plan.gates:
        # A report counts only if this run wrote it.
        if gate.report:
            checkout.forget(str(PurePosixPath(gate.folder, gate.report)))
    case = GateRun(
        agent_id=LOCAL,
        attempt=0,
        agent_type=AgentType.WORKER,
        work_items=(),
        tree=checkout.tree(),
        contents=checkout.contents,
        diff=checkout.patch,
        checkout=lambda _: nullcontext(checkout.root),
    )
    reports = []
    # With the user's own tools, wherever they are installed.
    gate_runner = wiring_worker.gate_runner(
        settings.model_copy(update={"process_level": "shim"}), with_own_tools=True
    )
    for report in gate_runner.run(plan, case, on_result=_print_result):
        reports.append(report)
        if not as_json:
            print_report(report)
    verdict = verdict_of(plan, case.tree, reports)
    if as_json:
        print_json({**verdict.wire(), "reports": [report.wire() for report in reports]})
    if not verdict.approved:
        ctx.exit(Exit.REJECTED)


@gates.command("plan")
@click.option(
    "--repo",
    type=REPOSITORY,
    help="A repository, as for `orch spawn`. Default: the current checkout.",
)
@click.option("--branch", default="main", show_default=True, help="The branch of --repo.")
@click.option("--base", help="A commit or branch of the checkout. Default: its files as they are.")
@_profile_option
@_gate_option
@json_option
@click.pass_context
def show_plan(
    ctx: click.Context,
    *,
    repo: str | None,
    branch: str,
    base: str | None,
    profile: GateProfile | None,
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what the gates would run, and why. The exit code is 3 if no change could pass."""
    settings: Settings = ctx.obj
    if repo is not None and base is not None:
        msg = "--base names a commit of the current checkout: with --repo, use --branch."
        raise click.UsageError(msg)
    # As for `run`: slow to import.
    from orchestrator.cli.local.gate_plans import (  # noqa: PLC0415 - as above
        files_of,
        image_lack,
        plan_of,
        recipe_of,
    )
    from orchestrator.cli.output.plan_text import (  # noqa: PLC0415 - as above
        ShownEnvironment,
        plan_document,
        print_plan,
    )
    from orchestrator.gates.planning import Tools, faults_here  # noqa: PLC0415 - as above

    read, paths = files_of(settings, repo, branch, base)
    plan = plan_of(settings, profile, names, read, paths)
    config = read_repo_config(read)
    recipe = recipe_of(settings, config, read, paths)
    faults = faults_here(plan, settings, Tools(pending=recipe.kinds))
    steps = tuple(step.shown for step in recipe.steps)
    lack = image_lack(settings, recipe.image)
    environment = ShownEnvironment(steps, recipe.image, lack)
    if as_json:
        print_json(plan_document(plan, faults, config.warnings, environment))
    else:
        print_plan(plan, faults, config.warnings, environment)
    if faults or lack:
        ctx.exit(Exit.REJECTED)


def _print_result(result: GateResult) -> None:
    seconds = result.duration_ms / 1000
    notify(f"{result.name} {result.status} ({seconds:.1f} s)")


@gates.command()
@agents_argument()
@json_option
@click.pass_obj
def show(settings: Settings, agent_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Print the gate reports of an agent."""
    with open_client(settings) as client:

        def one(agent_id: str) -> dict[str, Any]:
            reports = client.reports(agent_id)
            if not reports and not as_json:
                notify(f"no gate has reported on agent {agent_id}: orch status {agent_id}")
            return {"reports": [report.wire() for report in reports]}

        each(client, agent_ids, one, _show_reports, as_json=as_json, has_titles=True)


def _show_reports(found: dict[str, Any]) -> None:
    for report in found["reports"]:
        print_report(GateReport.model_validate(report))


def print_report(report: GateReport) -> None:
    """Print a gate report as text: each gate with its evidence, each finding with its location."""
    verdict = "approved" if report.approved else "rejected"
    say(
        f"attempt {report.attempt}, {report.stage}, profile {report.profile}: {verdict}"
        f" (tree {report.tree[:12]})"
    )
    for gate in report.gates:
        seconds = gate.duration_ms / 1000
        command = f"  $ {gate.command}" if gate.command else ""
        _print_indented(2, f"{gate.status:<9}  {gate.name}  {seconds:.1f} s{command}")
        if gate.detail:
            _print_indented(13, gate.detail)
    for finding in report.findings:
        line = f":{finding.line}" if finding.line is not None else ""
        _print_indented(2, f"{finding.kind}  {finding.path}{line}  {finding.detail}")
    for entry in report.not_judged:
        _print_indented(2, f"not judged  {not_judged_line(entry)}")


def _print_indented(spaces: int, text: str) -> None:
    say("\n".join(" " * spaces + line for line in text.rstrip().split("\n")))
