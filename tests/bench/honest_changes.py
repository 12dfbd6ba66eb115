"""The table of docs/gates-replayed.md: commits of public repositories, as changes of an agent.

`python -m tests.bench.honest_changes [--last N] REPOSITORY …` takes the last commits of each clone,
without merges, and reports what the orchestrator finds in their text: each against its parent, with
the plan of that parent. No gate runs.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.gates.check_files import check_files
from orchestrator.gates.gate_files import gate_files, is_source
from orchestrator.gates.plan import Plan, make_plan
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding, GateProfile
from orchestrator.secretscan import AllowList, ScannedText, Scanner
from orchestrator.settings import Settings, load_settings
from orchestrator.wiring import host as wiring_host
from orchestrator.workspace.git import Git
from orchestrator.workspace.new_blobs import new_blobs

#: The edits of CI, of checks and of agents' files: the finding is right, whatever the intention.
EDITED = frozenset({"ci-config-edited", "check-config-edited", "agent-config-edited"})
_REGULAR = ("100644", "100755", "120000")


@dataclass(frozen=True)
class Judged:
    """What the text of one commit draws."""

    commit: str
    subject: str
    findings: tuple[Finding, ...]
    secrets: tuple[str, ...]
    #: The findings of the trace if every gate opened every changed file.
    opened: tuple[Finding, ...]
    #: Whether the base's own tests would run on the changed sources.
    has_check_files: bool

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its findings."""
        secrets = {f"secret:{rule}" for rule in self.secrets}
        return frozenset({each.kind for each in self.findings} | secrets)


@dataclass(frozen=True)
class Clone:
    """A local clone of a public repository."""

    git_dir: Path
    settings: Settings

    def git(self, *arguments: str) -> bytes:
        """Return what git prints."""
        argv = ("git", "--git-dir", str(self.git_dir), *arguments)
        return subprocess.run(argv, check=True, capture_output=True).stdout

    def commits(self, last: int) -> list[str]:
        """Return the last commits that are no merges and have a parent."""
        listed = self.git("rev-list", "--no-merges", "--min-parents=1", f"-{last}", "HEAD")
        return listed.decode().split()

    def paths(self, commit: str) -> frozenset[str]:
        """Return the paths of a commit."""
        names = self.git("ls-tree", "-r", "-z", "--name-only", commit).decode(errors="replace")
        return frozenset(names.split("\0")) - {""}

    def read(self, commit: str, path: str) -> bytes | None:
        """Return a file of a commit; None if it does not exist."""
        argv = ("git", "--git-dir", str(self.git_dir), "cat-file", "blob", f"{commit}:{path}")
        ran = subprocess.run(argv, check=False, capture_output=True)
        return None if ran.returncode else ran.stdout

    def changes(self, parent: str, commit: str) -> Iterator[FileChange]:
        """Yield the files that differ."""
        raw = self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", parent, commit)
        fields = raw.decode(errors="replace").split("\0")[:-1]
        for described, path in zip(fields[::2], fields[1::2], strict=True):
            modes = described.removeprefix(":").split()[:2]
            before = self.read(parent, path) if modes[0] in _REGULAR else None
            after = self.read(commit, path) if modes[1] in _REGULAR else None
            yield FileChange(path, before, after)

    def plan(self, parent: str, profile: GateProfile) -> Plan:
        """Return the plan of a base commit."""
        return make_plan(
            profile,
            lambda path: self.read(parent, path),
            wiring_host.detectors(self.settings),
            paths=self.paths(parent),
            timeout_s=1.0,
        )

    def judged(self, commit: str, profile: GateProfile) -> Judged:
        """Return what a commit draws."""
        parent = f"{commit}^"
        plan, changes = self.plan(parent, profile), tuple(self.changes(parent, commit))
        paths = self.paths(commit)
        sourced = {str(Path(path).parent) for path in paths if is_source(path)}
        data = {
            change.path
            for change in changes
            if sourced & {str(each) for each in list(Path(change.path).parents)[:-1]}
        }
        reads = {gate.name: [change.path for change in changes] for gate in plan.gates}
        scanner = Scanner(b"k" * 32, AllowList.load(None))
        base = self.git("rev-parse", parent).decode().strip()
        texts = (
            ScannedText(one.commit, one.path, one.content, one.before, one.reason, one.earlier)
            for one in new_blobs(Git(self.settings), self.git_dir, base, commit)
        )
        return Judged(
            commit=commit,
            subject=self.git("log", "-1", "--format=%s", commit).decode().strip(),
            findings=find_tampering(changes, plan.commands, plan.files, plan.sources),
            secrets=tuple(f"{one.rule} {one.file}:{one.line}" for one in scanner.scan(texts)),
            opened=gate_files(changes, reads, plan.commands, plan.files, data),
            has_check_files=bool(check_files(changes, plan.commands, plan.files)),
        )


def main() -> None:
    """Print each finding, and one row of a table for each repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--profile", type=GateProfile, default=GateProfile.STRICT)
    parser.add_argument("--opened", action="store_true", help="show the trace's upper bound too")
    options = parser.parse_args()
    settings, rows = load_settings(), []
    for folder in options.repositories:
        clone = Clone(folder, settings)
        name = folder.parent.name.replace("+", "/") if folder.name == "repo" else folder.name
        judged = []
        for commit in clone.commits(options.last):
            try:
                judged.append(clone.judged(commit, options.profile))
            except OrchestratorError as error:
                print(f"{name} {commit[:12]} cannot be judged: {error}")
        for each in judged:
            if each.kinds:
                print(f"{name} {each.commit[:12]} {each.subject}")
                for finding in each.findings:
                    print(f"    {finding.kind} {finding.path}:{finding.line}: {finding.detail}")
                for secret in each.secrets:
                    print(f"    secret {secret}")
            if options.opened:
                for finding in each.opened:
                    print(f"    opened? {each.commit[:12]} {finding.path}: {finding.detail}")
        rows.append(row(name, judged))
    print("\n| repository | commits | no finding | CI and checks | others |\n|---|---|---|---|---|")
    print("\n".join(rows))


def row(name: str, judged: list[Judged]) -> str:
    """Return the row of a repository."""
    plain = sum(not each.kinds for each in judged)
    edited = sum(bool(each.kinds) and each.kinds <= EDITED for each in judged)
    others = [each for each in judged if each.kinds - EDITED]
    kinds = Counter(kind.partition(" ")[0] for each in others for kind in each.kinds - EDITED)
    shown = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return f"| {name} | {len(judged)} | {plain} | {edited} | {len(others)}: {shown} |"


if __name__ == "__main__":
    main()
