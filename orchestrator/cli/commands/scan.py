"""`orch scan`: finds secrets in the commits and the index of the current repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from orchestrator.cli.output.error_report import report_error
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.cli.output.text import notify
from orchestrator.errors import BranchUnknown, RepositoryUnavailable
from orchestrator.models import SecretFinding
from orchestrator.secretscan import AllowList, ScannedText, Scanner, sarif
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.workspace.checkout import LocalCommits
from orchestrator.workspace.new_blobs import NewBlobs

#: The label of the key derivation of fingerprints; findings of agents use the same label.
FINGERPRINTS = "secret-fingerprints"

_COLUMNS = (
    Column("RULE", 1),
    Column("COMMIT", 2),
    Column("FINGERPRINT", 0),
    Column("WHERE", 0, least=36),
)


@click.command()
@click.option("--staged", is_flag=True, help="Scan only what the index adds to HEAD.")
@click.option(
    "--range", "revisions", metavar="A..B", help="Scan the commits of B that A does not contain."
)
@click.option(
    "--sarif", "report", type=click.File("w", "utf-8", lazy=False), help="Write SARIF 2.1.0."
)
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    *,
    staged: bool,
    revisions: str | None,
    report: TextIO | None,
    as_json: bool,
) -> None:
    """Scan the current repository for secrets. The exit code is 1 if it contains any.

    Without an option, it scans the index and every commit of HEAD that no remote-tracking branch
    contains. It scans each commit, so it also finds a secret that a later commit removes. Findings
    never show the secret. docs/secrets.md describes how to allow a finding.
    """
    if staged and revisions:
        msg = "--staged and --range exclude each other."
        raise click.UsageError(msg)
    settings: Settings = ctx.obj
    scanner = Scanner(
        signing_key(settings, FINGERPRINTS), AllowList.load(settings.secret_allow_list)
    )
    try:
        history = LocalCommits.find(Path.cwd(), settings)
        texts = _asked(history, staged=staged, revisions=revisions)
    except (RepositoryUnavailable, BranchUnknown) as error:
        # Nothing was scanned, and 1 means findings.
        ctx.exit(report_error(error, "", as_json=as_json, exit_code=Exit.USAGE))
    findings = scanner.scan(
        (
            ScannedText(one.commit, one.path, one.content, one.before, one.reason, one.earlier)
            for one in texts
        ),
        repository=history.origin,
    )
    if report:
        report.write(json.dumps(sarif(findings), indent=2) + "\n")
    if as_json:
        print_json({"findings": [finding.model_dump() for finding in findings]})
    else:
        _print(findings)
    if findings:
        ctx.exit(1)


def _asked(history: LocalCommits, *, staged: bool, revisions: str | None) -> Iterator[NewBlobs]:
    if staged:
        return history.staged()
    if revisions is None:
        return history.pending()
    base, dots, tip = revisions.partition("..")
    if not dots or not base or tip.startswith("."):
        msg = f"--range must be A..B, not {revisions}"
        raise click.UsageError(msg)
    return history.between(history.commit(base), history.commit(tip))


def _print(findings: tuple[SecretFinding, ...]) -> None:
    if not findings:
        notify("no secrets found")
        return
    rows = [
        (one.rule, (one.commit or "")[:12], one.fingerprint, f"{one.file}:{one.line}")
        for one in findings
    ]
    print_table(_COLUMNS, rows)
    notify(f"{len(findings)} found; take each out of every commit that has it")
