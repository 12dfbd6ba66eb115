"""Lets days pass by jumps of all clocks, agents between them, and measures what does not shrink.

`python -m tests.soak [--hours 48]` exits 0 only if, beyond retention and the day for which results
are kept, neither Valkey nor the processes nor the disk grow.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
from celery import Celery

from tests.faketime import faked
from tests.faults.conftest import request_body
from tests.integration.conftest import SAMPLE, System, make_remote, running
from tests.processes import eventually

MIB = 2**20
#: All clocks jump by this.
STEP_H = 3
RETENTION_H = 6
#: Results of Celery and idempotency keys lapse after a day, and shrink with the next sweep.
STEADY_FROM_H = 24 + STEP_H
#: Of one wave: these complete, and one each fails and is killed.
COMPLETE = 2
#: They grow by design, up to a cap (events, acknowledgements of kills) or for ever (the audit).
BY_DESIGN = re.compile(r"orchestrator:(events:stream|kill-acks|kills|audit.*)")
_ID = re.compile(r"[0-9a-f]{8,}(-[0-9a-f]{4,})*")
#: The most that a measure may grow from the first half of the steady time to the second.
GROWTH = 1.05
SLACK = {"valkey": MIB // 4, "keys": 5, "rss": 12 * MIB, "files": 2 * MIB, "aof": 8 * MIB}


@dataclass
class Sample:
    """What was there after the sweep of one hour."""

    hour: int
    measures: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Soak:
    """One system whose clocks are the test's."""

    system: System
    remote: Path
    offset: Path

    def wave(self) -> None:
        """Let agents of each end live, all at once."""
        made = [{"run": "head -c 200000 /dev/urandom > made.bin"}]
        speaks = {"run": "seq 1 200"}
        steps = {
            **{f"completes-{n}": [*made, speaks, {"say": "Done."}] for n in range(COMPLETE)},
            "fails": [*made, speaks, {"fail": 3}],
            "killed": [*made, {"run": "sleep 600"}],
        }
        ids = {name: f"{name}-{secrets.token_hex(6)}" for name in steps}
        with Celery("coordinator", broker=self.system.valkey) as client:
            for name, played in steps.items():
                body = request_body(self.remote, *played)
                client.send_task("orchestrator.spawn", [body], task_id=ids[name], queue="spawn")
        with redis.Redis.from_url(self.system.valkey) as client:

            def state(name: str) -> dict[str, object]:
                found = client.get(f"orchestrator:agent:{ids[name]}")
                return json.loads(found) if found else {}

            eventually(lambda: state("killed").get("phase") == "executing")
            kill = f"{self.system.api}/agents/{ids['killed']}/kill"
            urllib.request.urlopen(urllib.request.Request(kill, method="POST"), timeout=300).close()
            for name in ids:
                eventually(lambda: state(name).get("phase") == "cleaned")  # noqa: B023

    def pass_to(self, hour: int) -> Sample:
        """Set all clocks to an hour, await the sweep that ends retentions, and measure."""
        self.offset.write_text(f"+{hour}h")
        most = (COMPLETE + 2) * (RETENTION_H // STEP_H + 1)
        sample = Sample(hour)
        with redis.Redis.from_url(self.system.valkey) as client:
            agents = "orchestrator:agent:*"
            eventually(lambda: sum(1 for _ in client.scan_iter(agents, 1000)) <= most)
            eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
            for key in client.scan_iter(count=1000):
                kind = _ID.sub("*", key.decode())
                sample.kinds[kind] += int(client.memory_usage(key) or 0)
                if not BY_DESIGN.fullmatch(kind):
                    sample.measures["keys"] += 1
        kept = {kind: size for kind, size in sample.kinds.items() if not BY_DESIGN.fullmatch(kind)}
        sample.measures["valkey"] = sum(kept.values())
        for name, process in self._processes():
            with suppress(psutil.NoSuchProcess):
                sample.measures[f"rss {name}"] += process.memory_info().rss
        home = self.system.home
        sample.measures["aof"] = _used(home / "valkey")
        # Logs of programs are rotated by size.
        without = {home / "valkey", home / "log"}
        sample.measures["files"] = sum(_used(one) for one in home.iterdir() if one not in without)
        return sample

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ()
                if environment.get("ORCHESTRATOR_HOME") == str(self.system.home):
                    yield environment.get("SUPERVISOR_PROCESS_NAME", "supervisor"), process


def _used(path: Path) -> int:
    found = 0
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            found += one.lstat().st_blocks * 512
    return found


def grown(samples: Sequence[Sample]) -> dict[str, tuple[int, int]]:
    """Return what is larger in the second half of the steady time than growth allows.

    The least of each half counts: at some instants more waits for the next sweep.
    """
    steady = [sample for sample in samples if sample.hour >= STEADY_FROM_H]
    first, second = steady[: len(steady) // 2], steady[len(steady) // 2 :]
    found = {}
    for name in sorted(set().union(*(sample.measures for sample in steady))):
        before, after = (min(one.measures[name] for one in half) for half in (first, second))
        if after > before * GROWTH + SLACK[name.partition(" ")[0]]:
            found[name] = before, after
    return found


def run(hours: int, show: Callable[[str], object] = print) -> bool:
    """Let the hours pass; show each measure, and return whether nothing grows."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        offset = Path(folder) / "faketime"
        offset.write_text("+0")
        remote = make_remote(Path(folder), SAMPLE)
        with running(
            Path(folder) / "home",
            ORCHESTRATOR_AGENT="scripted",
            ORCHESTRATOR_PROCESS_LEVEL="shim",
            ORCHESTRATOR_LEASE="4s",
            ORCHESTRATOR_RETENTION=f"{RETENTION_H}h",
            MAX_CONCURRENT_AGENTS=str(COMPLETE + 2),
            **faked(offset),
        ) as system:
            with redis.Redis.from_url(system.valkey) as client:
                # The default of 64 MiB would not be reached here.
                client.config_set("auto-aof-rewrite-min-size", 2 * MIB)
            soak, samples = Soak(system, remote, offset), []
            for hour in range(STEP_H, hours + 1, STEP_H):
                began = time.monotonic()
                soak.wave()
                samples.append(soak.pass_to(hour))
                facts = samples[-1].measures
                shown = ", ".join(
                    f"{name} {value if name == 'keys' else f'{value / MIB:.1f} MiB'}"
                    for name, value in sorted(facts.items())
                )
                show(f"{hour} h ({time.monotonic() - began:.0f} s): {shown}")
    found = grown(samples)
    for name, (before, after) in found.items():
        show(f"grown: {name} from {before} to {after}")
    for kind, size in sorted(samples[-1].kinds.items()):
        if found and size > samples[-1 - len(samples) // 4].kinds[kind]:
            show(f"  {kind}: {samples[-1 - len(samples) // 4].kinds[kind]} to {size} bytes")
    return not found


def main() -> None:
    """Parse the arguments, run, and exit with the verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=int, default=48)
    given = parser.parse_args()
    if given.hours < STEADY_FROM_H + 4 * STEP_H:
        parser.error(f"at least {STEADY_FROM_H + 4 * STEP_H} hours: results are kept for a day")
    sys.exit(0 if run(given.hours) else 1)


if __name__ == "__main__":
    main()
