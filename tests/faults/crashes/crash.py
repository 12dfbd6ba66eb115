"""A system with an agent at each step, all of which are met there."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

import redis
from celery import Celery

from tests.faults.conftest import OPEN, Document, request_body
from tests.faults.crashes.sites import MakeSite, Site, plain
from tests.faults.crashes.steps import STEPS, project, put_programs
from tests.faults.crashes.watch import Watch, queued
from tests.integration.conftest import System, git, make_remote, running
from tests.processes import eventually

LEASE_S = 4
DEADLINE_S = 2
WITHIN_S = 300.0
#: How an agent that was met by a fault comes to its end.
SAME, NEXT, AGAIN = "same attempt", "next attempt", "message sent again"


class Crash:
    """A system, and an agent at each step (or by other names, at none)."""

    def __init__(
        self, system: System, folder: Path, names: Iterable[str] = STEPS, site: Site | None = None
    ) -> None:
        self.system = system
        self.site = site or Site(system.home)
        self.url = self.site.url or system.valkey
        self.ids = {name: f"{name}-{secrets.token_hex(4)}" for name in names}
        self.remotes: dict[str, Path] = {}
        self.watch = Watch(self.ids.values())
        self.folder = folder
        self.holds = folder / "holds"
        self._lock: IO[str] | None = None

    @cached_property
    def pids(self) -> dict[str, int]:
        """The processes of the system at its start, by name."""
        reported = json.loads((self.system.home / "run/system.json").read_text())
        return dict(reported["pids"])

    def address(self, remote: Path) -> str:
        """Return how the system reaches a repository."""
        return str(remote)

    def state(self, step: str) -> Document:
        """Return the state of the agent of this step, as soon as Valkey tells it."""

        def read() -> bytes | None:
            with suppress(redis.ConnectionError, redis.TimeoutError), self.valkey() as client:
                found: bytes | None = client.get(f"orchestrator:agent:{self.ids[step]}")
                return found
            return None

        reported = eventually(read)
        assert isinstance(reported, bytes)
        return dict(json.loads(reported))

    def valkey(self) -> redis.Redis:
        """Open the store."""
        return redis.Redis.from_url(self.url, socket_timeout=60)

    def begin(self) -> None:
        """Spawn all agents as a client that knows only Celery; each of its own repository."""
        seed = make_remote(self.folder / "seed", project(self.holds))
        git("config", "core.logAllRefUpdates", "always", cwd=seed)
        with Celery("coordinator", broker=self.url) as client:
            for step, agent_id in self.ids.items():
                self.remotes[step] = self.folder / f"{step}.git"
                shutil.copytree(seed, self.remotes[step])
                made = {"write": {"path": "made.txt", "content": f"made by {step}\n"}}
                hold = {"run": f"[ {step} != running ] || {self.holds}/hold running"}
                body = request_body(
                    self.address(self.remotes[step]), made, hold, {"say": f"Made {step}."}
                )
                client.send_task("orchestrator.spawn", [body], task_id=agent_id, queue="spawn")

    def await_all(self) -> None:
        """Wait until every agent stands at its step."""
        if "cleaning" in self.ids:
            self._hold_cleanup()
        for step in self.ids:
            status, phase = STEPS[step]
            eventually((self.holds / step).is_dir)
            state = self.state(step)
            assert (state["status"], state["phase"]) == (status, phase), state

    def release(self) -> None:
        """Let every agent, and what is left of an attempt at it, go on from its step."""
        for step in self.ids:
            (self.holds / step / "go").touch()
        if self._lock is not None:
            self._lock.close()

    def holders(self, *steps: str) -> set[int]:
        """Return the processes that hold the agents of these steps."""
        reported = {self.state(step)["workerProcess"] for step in steps if step in self.ids}
        return {int(process.partition(":")[0]) for process in reported}

    def await_end(self, *steps: str) -> None:
        """Wait until these agents, of those there are, have ended and are cleaned up."""
        for step in filter(self.ids.__contains__, steps):
            eventually(lambda: self.state(step)["phase"] == "cleaned", within_s=WITHIN_S)  # noqa: B023

    def carried_on(self, step: str) -> str:
        """Return how this agent came to its end."""
        if self.state(step).get("recoveries"):
            return NEXT
        logs = (self.system.home / "log" / "cleanup.log", self.folder / "second" / "log")
        lines = [line for log in logs if log.exists() for line in log.read_text().splitlines()]
        is_sent_again = any("message sent again" in one and self.ids[step] in one for one in lines)
        return AGAIN if is_sent_again else SAME

    @contextmanager
    def second_host(self) -> Iterator[None]:
        """Run workers of another home meanwhile: what another host would be."""
        home = self.folder / "second"
        home.mkdir()
        env = {
            **self.system.env,
            "ORCHESTRATOR_HOME": str(home),
            "VALKEY_URL": self.url,
        }
        workers = []
        with (home / "log").open("wb") as log:
            for queue, pool in (("spawn", "threads"), ("gates", "prefork"), ("cleanup", "threads")):
                options = ("-Q", queue, "-n", f"{queue}@second", "-P", pool, "-c", "10")
                program = (sys.executable, "-P", "-m", "workers", "worker", *options, "-l", "INFO")
                workers.append(subprocess.Popen(program, env=env, cwd=home, stdout=log, stderr=log))
        try:
            yield
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(240)

    def _hold_cleanup(self) -> None:
        """Lock a workspace that its runner has done with, and wait for its cleanup to come."""
        agent_id, workspaces = self.ids["cleaning"], self.system.home / "workspaces"
        eventually((self.holds / "cleaning").is_dir)
        eventually(lambda: not list(workspaces.glob(f"{agent_id}*")))
        self._lock = (workspaces / f"{agent_id}.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.holds / "cleaning" / "go").touch()
        eventually(lambda: self.state("cleaning")["phase"] == "ended")
        with self.valkey() as client:
            eventually(lambda: not queued(client, agent_id))


@contextmanager
def crashing(
    folder: Path, steps: Sequence[str] = tuple(STEPS), make_site: MakeSite = plain
) -> Iterator[Crash]:
    """Start a system and have an agent at each of these steps, watched."""
    programs = folder / "programs"
    put_programs(folder / "holds", programs)
    with (
        make_site(folder) as site,
        running(
            site.home,
            within=site.within,
            **{
                "ORCHESTRATOR_AGENT": "scripted",
                **OPEN,
                "ORCHESTRATOR_LEASE": f"{LEASE_S}s",
                "ORCHESTRATOR_SUPERVISOR_DEADLINE": f"{DEADLINE_S}s",
                "ORCHESTRATOR_GATE_WORKERS": "8",
                "MAX_CONCURRENT_AGENTS": str(len(steps)),
                "PATH": f"{programs}:{os.environ['PATH']}",
                **site.settings,
            },
        ) as system,
    ):
        crash = Crash(system, folder, steps, site)
        with crash.watch:
            crash.begin()
            crash.await_all()
            yield crash
