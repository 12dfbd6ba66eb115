"""Profile strict, side by side: wall time against its slowest chain of dependent gates."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from orchestrator.gates.plan import make_plan
from orchestrator.models import AgentType, GateProfile
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check.gate_runner import GateRun, verdict_of
from orchestrator.wiring import host as wiring_host
from orchestrator.wiring import worker as wiring_worker
from orchestrator.workspace.checkout import LocalCheckout
from tests.bench.results import figure, ratio, save, sizes
from tests.doubles.messages_api import MessagesApi, ToolCall, Turn
from tests.integration.conftest import git

#: Each gate takes this long and no processor, so that the orchestrator's own time shows.
GATE_S = 3
COVERAGE = (
    '{"meta": {"format": 3}, "files": {}, "totals": '
    '{"covered_lines": 9, "num_statements": 10, "percent_covered": 90.0}}'
)


def measure() -> tuple[float, float, int]:
    """Run the gates; returns the wall time (s), the slowest chain (s) and the number of gates."""
    names = ("typecheck", "lint", "tests", "build", "integration")
    lines = [f'{name} = "sleep {GATE_S}; echo done"' for name in names]
    command = f"sleep {GATE_S}; cp cover.txt coverage.json"
    lines.append(f'coverage = {{command = "{command}", report = "coverage.json"}}')
    review = Turn((ToolCall("StructuredOutput", {"approved": True, "confidence": 0.97}),))
    with tempfile.TemporaryDirectory() as folder, MessagesApi([review]) as api:
        root = Path(folder)
        (root / "orchestrator.toml").write_text("[gates]\n" + "\n".join(lines) + "\n")
        (root / "cover.txt").write_text(COVERAGE)
        for arguments in (("init", "-qb", "main"), ("add", "-A"), ("commit", "-qm", "Begin")):
            git(*arguments, cwd=root)
        settings = load_settings(
            {
                "CLAUDE_API_KEY": "for-the-double",
                "ANTHROPIC_BASE_URL": api.url,
                **load_settings().host_env,
            }
        )
        checkout = LocalCheckout.find(root, "main", settings)
        plan = make_plan(
            GateProfile.STRICT,
            checkout.read,
            wiring_host.detectors(settings),
            paths=checkout.paths(),
            timeout_s=60,
        )
        case = GateRun(
            agent_id="bench",
            attempt=0,
            agent_type=AgentType.WORKER,
            work_items=("Nothing.",),
            tree=checkout.tree(),
            contents=tuple,
            diff=checkout.patch,
            checkout=lambda _: nullcontext(root),
        )
        began = time.monotonic()
        reports = tuple(wiring_worker.gate_runner(settings).run(plan, case))
        wall_s = time.monotonic() - began
    verdict = verdict_of(plan, case.tree, reports)
    if not verdict.approved:
        raise SystemExit(str(reports))
    chain_s = sum(max(gate.duration_ms for gate in report.gates) / 1000 for report in reports)
    return wall_s, chain_s, len(verdict.gates)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the wall time, the chain, and their ratio."""
    given = sizes(__doc__, argv, rounds=3)
    walls, chains, counts = zip(*(measure() for _ in range(given.rounds)), strict=True)
    save(
        "gates",
        [
            figure("gates of profile strict, wall time", "s", *walls),
            figure("gates of profile strict, slowest chain", "s", *chains),
        ],
        [ratio("gates, wall time / slowest chain", walls, chains)],
        notes=[f"{counts[0]} gates of {GATE_S} s each, and a review."],
    )


if __name__ == "__main__":
    main()
