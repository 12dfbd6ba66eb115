"""Each alert fires for its cause and is quiet otherwise: promtool evaluates the shipped rules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator

from tests.docs.test_alerts import RULES
from tests.docs.test_pages import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
#: Series → its values, one a minute, as promtool writes them.
Series = dict[str, str]

ENDED = 'orchestrator_agents_ended_total{{code="{}",status="failed"}}'
GATES = 'orchestrator_gate_results_total{{gate="{}",status="{}"}}'
KILLS = 'orchestrator_kill_seconds_bucket{{le="{}"}}'
SCRAPED = {"orchestrator_halted": "0x100"}

#: Alert → series for which it fires, the minute; series for which it is quiet at that minute.
CASES: dict[str, tuple[Series, int, Series]] = {
    "OrchestratorUnreachable": ({"up": "0x9"}, 5, {"orchestrator_agents": "0x9"}),
    "NoWorker": (
        {
            'orchestrator_workers{queue="gates"}': "0x9",
            'orchestrator_workers{queue="spawn"}': "1x9",
        },
        *(5, {'orchestrator_workers{queue="spawn"}': "1x9"}),
    ),
    "SweepOverdue": (
        {'orchestrator_sweep_age_seconds{by="cleanup"}': "90x9"},
        5,
        {
            'orchestrator_sweep_age_seconds{by="scheduler"}': "900x9",
            'orchestrator_sweep_age_seconds{by="cleanup"}': "5x9",
        },
    ),
    "SchedulerSilent": (
        {'orchestrator_sweep_age_seconds{by="scheduler"}': "90x9"},
        *(7, {'orchestrator_sweep_age_seconds{by="scheduler"}': "90x3 5x9"}),
    ),
    "ClockSkewed": (
        {'orchestrator_clock_skew_seconds{worker="w"}': "-30x9"},
        *(5, {'orchestrator_clock_skew_seconds{worker="w"}': "-3x9"}),
    ),
    "KillUnconfirmed": (
        {"orchestrator_kills_unconfirmed": "1x9"},
        *(5, {"orchestrator_kills_unconfirmed": "1 0x9"}),
    ),
    "KillSlow": (
        {
            KILLS.format("10.0"): "0x30",
            KILLS.format("30.0"): "0+1x30",
            KILLS.format("+Inf"): "0+1x30",
        },
        20,
        {KILLS.format("1.0"): "0+1x30", KILLS.format("+Inf"): "0+1x30"},
    ),
    "Halted": ({"orchestrator_halted": "1x40"}, 35, {"orchestrator_halted": "1x20 0x20"}),
    "QueuePaused": (
        {'orchestrator_queue_paused{queue="gates"}': "1x40"},
        *(35, {'orchestrator_queue_paused{queue="gates"}': "1x20 0 1x19"}),
    ),
    "QueueOld": (
        {'orchestrator_queue_oldest_age_seconds{queue="gates"}': "700x9"},
        *(7, {'orchestrator_queue_oldest_age_seconds{queue="spawn"}': "700x9"}),
    ),
    "RecoveriesHigh": (
        {"orchestrator_recoveries_total": "0+1x30"},
        *(20, {"orchestrator_recoveries_total": "0x18 3x9"}),
    ),
    "AgentStalled": (
        {"orchestrator_stalls_total": "4x9 5x30"},
        *(20, {"orchestrator_stalls_total": "4x40"}),
    ),
    "AgentsFailing": (
        {
            ENDED.format("x"): "0+1x100",
            'orchestrator_agents_ended_total{status="completed"}': "0x100",
        },
        90,
        {
            ENDED.format("x"): "0+1x100",
            'orchestrator_agents_ended_total{status="completed"}': "0+2x100",
        },
    ),
    "DiskLow": (
        {'orchestrator_worker_short{worker="w"}': "1x9"},
        *(7, {'orchestrator_agents_waiting{resource="disk"}': "0x9"}),
    ),
}
#: Alert that compares a counter with its earlier value → the series, and what one time adds to it.
GROWING = {
    "BudgetSpent": (ENDED.format("budget_exceeded"), 1),
    "UsageReportsMissing": (ENDED.format("usage_reports_missing"), 1),
    "PushesFailing": (ENDED.format("push_refused"), 1),
    "CoordinatorUnreachable": (ENDED.format("coordinator_unavailable"), 1),
    "GatesBroken": (GATES.format("tests", "errored"), 4),
    "SecretFound": (GATES.format("secrets", "failed"), 1),
    "DiskShort": (ENDED.format("disk_full"), 1),
    "SandboxBroken": (ENDED.format("sandbox_lost"), 1),
}


def check(alerts: Iterable[str], series: Series, minute: int, *, fires: bool) -> dict[str, object]:
    """Return one test of promtool: whether these alerts fire for these series at this minute."""
    expected = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "name": f"{' '.join(alerts)} {'fires' if fires else 'is quiet'} for {series}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": f"{minute}m",
                "exp_samples": expected,
            }
            for alert in alerts
        ],
    }


def checks() -> Iterator[dict[str, object]]:
    for alert, (bad, minute, good) in CASES.items():
        yield check((alert,), bad, minute, fires=True)
        yield check((alert,), good, minute, fires=False)
    yield check(("SweepOverdue",), {"up": "1x9"}, 5, fires=True)
    waiting = {'orchestrator_agents_waiting{resource="disk"}': "2x9"}
    yield check(("DiskLow",), waiting, 7, fires=True)

    def grown(values: str) -> Series:
        return {name: values.format(more=more, all=7 + more) for name, more in GROWING.values()}

    # The first event ever, one more after others, none, and a Prometheus that has just begun.
    yield check(GROWING, SCRAPED | grown("_x70 {more}x30"), 75, fires=True)
    yield check(GROWING, SCRAPED | grown("7x70 {all}x30"), 75, fires=True)
    yield check(GROWING, SCRAPED | grown("7x100"), 75, fires=False)
    yield check(GROWING, {"orchestrator_halted": "0x9"} | grown("7x9"), 8, fires=False)


def promtool(*arguments: object) -> str:
    ran = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_alert_fires_for_its_cause_only(tmp_path):
    assert {*CASES, *GROWING} == {rule["alert"] for rule in RULES}
    assert f"{len(RULES)} rules found" in promtool("check", "rules", ALERTS)
    file = tmp_path / "tests.json"  # JSON is YAML
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [*checks()]}))
    promtool("test", "rules", file)
