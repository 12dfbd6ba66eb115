"""The crash matrix: agents stopped each at one step of their life, a fault, and who looks on.

The system is a real one, nothing of it is changed: the `git` that stands first in its PATH, the
agent's script, a gate's command and a lock on a workspace make each agent wait where it is to be
met, once. `python -m tests.faults.crashes` writes the table in `docs/reliability.md`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import redis
from celery import Celery

from orchestrator.messages import MOST_URGENT, QUEUES, queue_key
from tests.faults.conftest import Document, request_body, send
from tests.integration.conftest import System, git, make_remote, running
from tests.processes import MARK, eventually, marked_all, stat_of

LEASE_S = 4
DEADLINE_S = 2
WITHIN_S = 150.0

#: What an agent is at when it is met, and what its state says then.
STEPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "claimed": ("spawning", "preparing"),
        "cloned": ("spawning", "preparing"),
        "running": ("running", "executing"),
        "captured": ("running", "executing"),
        "gating": ("running", "gating"),
        "verdict": ("running", "gating"),
        "committed": ("running", "gating"),
        "pushing": ("running", "delivering"),
        "pushed": ("running", "delivering"),
        "cleaning": ("completed", "ended"),
    }
)
SPAWN_STEPS = ("claimed", "cloned", "running", "captured")
GATES_STEPS = ("gating", "verdict", "committed", "pushing", "pushed")
#: An agent waits at its step only the first time that it comes there.
_HOLD = """#!/bin/sh
mkdir "{holds}/$1" 2>/dev/null || exit 0
until [ -e "{holds}/$1/go" ]; do sleep 0.05; done
"""
#: An agent's id begins with its step. The gates leave a file, to tell the second look at the target
#: branch and the commit that leaves from what was before them.
_GIT = """#!/bin/sh
step=${{ORCH_AGENT_ID%%-*}}
judged={holds}/judged-$step
case "$step $1" in
    "claimed fetch" | "cloned ls-tree" | "cleaning push" | "pushing push" | "pushed ls-remote")
        {hold} "$step" ;;
    "verdict fetch")
        [ ! -e "$judged" ] || {hold} "$step" ;;
    "captured bundle")
        {git} "$@" && {hold} "$step"
        exit ;;
    "committed commit-tree")
        if [ -e "$judged" ]; then
            {git} "$@" && {hold} "$step"
            exit
        fi ;;
esac
exec {git} "$@"
"""
_GATE = """step=${{ORCH_AGENT_ID%%-*}}
[ "$step" != gating ] || {hold} gating
touch {holds}/judged-$step
[ "$(cat made.txt)" = "made by $step" ]
"""

SAME, NEXT, AGAIN = "same attempt", "next attempt", "message sent again"
#: How long Valkey is away decides, and either is right.
EITHER = f"{SAME} or {NEXT}"


@dataclass(frozen=True)
class Fault:
    """A column of the matrix: what happens while all agents stand at their steps."""

    title: str
    strike: Callable[[Crash], None]
    #: What goes on, once the fault is over, that it does not go on as before.
    carried_on: Mapping[str, str] = field(default_factory=dict)

    def outcome(self, step: str) -> str:
        """Return how an agent that was at this step comes to its end."""
        return self.carried_on.get(step, SAME)


class Crash:
    """A system, and an agent at each step."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self.ids = {step: f"{step}-{secrets.token_hex(4)}" for step in STEPS}
        self.pids: dict[str, int] = json.loads((system.home / "run/system.json").read_text())[
            "pids"
        ]
        self.remotes: dict[str, Path] = {}
        self.watch = Watch(self)
        self.folder = folder
        self.holds = folder / "holds"
        self._lock: IO[str] | None = None

    def state(self, step: str) -> Document:
        """Return the state of the agent of this step, as soon as Valkey tells it."""

        def read() -> bytes | None:
            with suppress(redis.ConnectionError), self.valkey() as client:
                found: bytes | None = client.get(f"orchestrator:agent:{self.ids[step]}")
                return found
            return None

        told = eventually(read)
        assert isinstance(told, bytes)
        return dict(json.loads(told))

    def valkey(self) -> redis.Redis:
        """Open the store."""
        return redis.Redis.from_url(self.system.valkey)

    def begin(self) -> None:
        """Spawn all agents as a client that knows only Celery; each of its own repository."""
        seed = make_remote(self.folder / "seed", _project(self.holds))
        git("config", "core.logAllRefUpdates", "always", cwd=seed)
        with Celery("coordinator", broker=self.system.valkey) as client:
            for step, agent_id in self.ids.items():
                self.remotes[step] = self.folder / f"{step}.git"
                shutil.copytree(seed, self.remotes[step])
                made = {"write": {"path": "made.txt", "content": f"made by {step}\n"}}
                hold = {"run": f"[ {step} != running ] || {self.holds}/hold running"}
                body = request_body(self.remotes[step], made, hold, {"say": f"Made {step}."})
                client.send_task("orchestrator.spawn", [body], task_id=agent_id, queue="spawn")

    def await_all(self) -> None:
        """Wait until every agent stands at its step."""
        self._hold_cleanup()
        for step, (status, phase) in STEPS.items():
            eventually((self.holds / step).is_dir)
            state = self.state(step)
            assert (state["status"], state["phase"]) == (status, phase), state

    def let_go(self) -> None:
        """Let every agent, and what is left of an attempt at it, go on from its step."""
        for step in STEPS:
            (self.holds / step / "go").touch()
        assert self._lock is not None
        self._lock.close()

    def holders(self, *steps: str) -> set[int]:
        """Return the processes that hold the agents of these steps."""
        told = {self.state(step)["workerProcess"] for step in steps}
        return {int(process.partition(":")[0]) for process in told}

    def await_end(self, *steps: str) -> None:
        """Wait until these agents have ended and are cleaned up."""
        for step in steps:
            eventually(lambda: self.state(step)["phase"] == "cleaned", within_s=WITHIN_S)  # noqa: B023

    def carried_on(self, step: str) -> str:
        """Return how this agent came to its end."""
        if self.state(step).get("recoveries"):
            return NEXT
        log = (self.system.home / "log" / "cleanup.log").read_text()
        is_sent_again = any(
            "message sent again" in line and self.ids[step] in line for line in log.splitlines()
        )
        return AGAIN if is_sent_again else SAME

    @contextmanager
    def second_host(self) -> Iterator[None]:
        """Run workers of another home meanwhile: what another host would be."""
        home = self.folder / "second"
        home.mkdir()
        env = {
            **self.system.env,
            "ORCHESTRATOR_HOME": str(home),
            "VALKEY_URL": self.system.valkey,
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
                worker.wait(60)

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


class Watch:
    """Looks at the processes from outside, all the time: who runs something for which agent."""

    def __init__(self, crash: Crash) -> None:
        self._crash = crash
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.looks = 0
        #: The most supervisors of one agent that were alive at once, by agent.
        self.most: Counter[str] = Counter()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        mine = set(self._crash.ids.values())
        while not self._is_over.wait(0.05):
            self.looks += 1
            for agent_id, count in live_trees().items():
                if agent_id in mine:
                    self.most[agent_id] = max(self.most[agent_id], count)


def live_trees() -> Counter[str]:
    """Count the trees of programs that run for each agent: one shim stands above each."""
    shims: dict[int, tuple[str, int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"/sandboxes/_shim.py\0" not in (entry / "cmdline").read_bytes():
                continue
            marks = (entry / "environ").read_bytes().split(b"\0")
            agent = next((mark for mark in marks if mark.startswith(MARK)), b"")
            pid, fields = int(entry.name), stat_of(int(entry.name))
            if agent and fields and fields[0] not in ("Z", "X"):
                shims[pid] = (agent.removeprefix(MARK).decode(), int(fields[1]))
    # What looks like a shim below a shim is the program it is about to become.
    return Counter(agent_id for agent_id, parent in shims.values() if parent not in shims)


def queued(client: redis.Redis, *agent_ids: str) -> list[str]:
    """Return which of these agents have a message in a queue."""
    names = [
        queue_key(queue, priority) for queue in QUEUES for priority in range(1, MOST_URGENT + 1)
    ]
    waiting = b"".join(message for name in names for message in client.lrange(name, 0, -1))
    return [agent_id for agent_id in agent_ids if agent_id.encode() in waiting]


def is_alive(pid: int) -> bool:
    """Return whether there is such a process; a zombie is dead."""
    return stat_of(pid)[:1] not in ([], ["Z"], ["X"])


# ── faults ──────────────────────────────────────────────────────────────────────────────────


def kill_workers(crash: Crash) -> None:
    """All three at once, and the pool's processes follow; the git they leave is let go on."""
    holders = crash.holders(*SPAWN_STEPS, *GATES_STEPS)
    for name in QUEUES:
        send(crash.pids[name], signal.SIGKILL)
    eventually(lambda: not any(is_alive(pid) for pid in holders))
    crash.let_go()


def kill_pool_children(crash: Crash) -> None:
    """The gates pool's processes under its main one."""
    for pid in crash.holders(*GATES_STEPS) - {crash.pids["gates"]}:
        send(pid, signal.SIGKILL)
    crash.let_go()


def kill_scheduler(crash: Crash) -> None:
    send(crash.pids["scheduler"], signal.SIGKILL)
    crash.let_go()


def kill_api(crash: Crash) -> None:
    send(crash.pids["api"], signal.SIGKILL)
    crash.let_go()


def kill_valkey(crash: Crash) -> None:
    """It comes back with its append-only file, while every agent takes its next step."""
    send(crash.pids["valkey"], signal.SIGKILL)
    crash.let_go()


def stop_workers(crash: Crash) -> None:
    """Another host takes over, and only when it is done, what the stopped one had begun goes on."""
    stopped = {*crash.holders(*GATES_STEPS), *(crash.pids[name] for name in QUEUES)}
    taken_over = (*SPAWN_STEPS, *GATES_STEPS)
    try:
        for pid in stopped:
            send(pid, signal.SIGSTOP)
        with crash.second_host():
            crash.await_end(*taken_over)
            crash.let_go()
            # Its own git is no program of an agent: it may come to its end, late and fenced.
            eventually(lambda: not {crash.ids[step] for step in taken_over} & marked_all().keys())
    finally:
        for pid in stopped:
            send(pid, signal.SIGCONT)


_ALL_NEXT = dict.fromkeys((*SPAWN_STEPS, *GATES_STEPS), NEXT)
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "workers": Fault("SIGKILL of the workers", kill_workers, _ALL_NEXT | {"cleaning": AGAIN}),
        "pool": Fault(
            "SIGKILL of the gates pool's processes",
            kill_pool_children,
            dict.fromkeys(GATES_STEPS, NEXT),
        ),
        "scheduler": Fault("SIGKILL of the scheduler", kill_scheduler),
        "api": Fault("SIGKILL of the API", kill_api),
        "valkey": Fault("SIGKILL of Valkey", kill_valkey, dict.fromkeys(_ALL_NEXT, EITHER)),
        "stopped": Fault(
            "SIGSTOP of the workers past their lease, SIGCONT", stop_workers, _ALL_NEXT
        ),
    }
)

# ── the system, and what must hold in the end ───────────────────────────────────────────────


@contextmanager
def crashing(folder: Path) -> Iterator[Crash]:
    """Start a system and have an agent at each step, watched."""
    holds, programs = folder / "holds", folder / "programs"
    for made in (holds, programs):
        made.mkdir(parents=True)
    real = shutil.which("git")
    for path, text in ((holds / "hold", _HOLD), (programs / "git", _GIT)):
        path.write_text(text.format(holds=holds, hold=holds / "hold", git=real))
        path.chmod(0o755)
    with running(
        folder / "home",
        ORCHESTRATOR_AGENT="scripted",
        ORCHESTRATOR_LEASE=f"{LEASE_S}s",
        ORCHESTRATOR_SUPERVISOR_DEADLINE=f"{DEADLINE_S}s",
        ORCHESTRATOR_GATE_WORKERS="8",
        MAX_CONCURRENT_AGENTS=str(len(STEPS)),
        PATH=f"{programs}:{os.environ['PATH']}",
    ) as system:
        crash = Crash(system, folder)
        with crash.watch:
            crash.begin()
            crash.await_all()
            yield crash


def assert_nothing_lost_and_nothing_twice(crash: Crash) -> None:
    """The invariants, each asked of what can be seen from outside."""
    ids = set(crash.ids.values())
    for step, agent_id in crash.ids.items():
        state, remote = crash.state(step), crash.remotes[step]
        assert state["status"] == "completed", state
        updates = (remote / f"logs/refs/heads/agent/{agent_id}").read_text().splitlines()
        assert len(updates) == 1, f"pushed more than once: {updates}"
        assert git("rev-parse", f"agent/{agent_id}", cwd=remote) == state["commit"]
        assert git("rev-parse", f"agent/{agent_id}^", cwd=remote) == state["baseCommit"]
        tree = git("rev-parse", f"agent/{agent_id}^{{tree}}", cwd=remote)
        assert tree == state["verdict"]["tree"]
        assert git("show", f"agent/{agent_id}:made.txt", cwd=remote) == f"made by {step}"
        told = events(crash, agent_id)
        attempts = [event["attempt"] for event in told]
        assert attempts == sorted(attempts), f"a stale attempt spoke: {told}"
        for before, after in pairwise(told):
            is_fenced = after["attempt"] > before["attempt"]
            assert after["type"] != "agent.recovering" or is_fenced, told
        ends = Counter(event["type"] for event in told)
        assert (ends["agent.completed"], ends["agent.cleanup"]) == (1, 1), ends
    assert crash.watch.looks
    assert {agent: count for agent, count in crash.watch.most.items() if count > 1} == {}
    eventually(lambda: not ids & marked_all().keys())
    with crash.valkey() as client:
        eventually(lambda: not queued(client, *ids))
        for name in ("leases", "delayed"):
            assert not ids & members(client, f"orchestrator:{name}"), name
        with suppress(AssertionError):
            eventually(lambda: not members(client, "orchestrator:suspects"))
        assert not members(client, "orchestrator:suspects")
    for home in (crash.system.home, crash.folder / "second"):
        for name in ("workspaces", "candidates"):
            eventually(lambda: not left_of(ids, home / name))  # noqa: B023 - called at once


def assert_every_slot_is_back(crash: Crash) -> None:
    """As many agents as there are slots wait for one another, and so must all run at once."""
    meeting = crash.folder / "meeting"
    meeting.mkdir()
    are_all_there = f"[ $(ls {meeting} | wc -l) -ge {len(STEPS)} ]"
    wait = f"touch {meeting}/$$; until {are_all_there}; do sleep 0.1; done"
    remote = crash.remotes["claimed"]
    ids = [f"slot-{secrets.token_hex(4)}" for _ in STEPS]
    made = {"write": {"path": "made.txt", "content": "made by slot\n"}}
    with Celery("coordinator", broker=crash.system.valkey) as client:
        for agent_id in ids:
            body = request_body(remote, {"run": wait}, made, {"say": "Met."})
            client.send_task("orchestrator.spawn", [body], task_id=agent_id, queue="spawn")
    with crash.valkey() as client:

        def ended() -> bool:
            states = client.mget([f"orchestrator:agent:{agent_id}" for agent_id in ids])
            return all(state and json.loads(state)["status"] == "completed" for state in states)

        eventually(ended)


def events(crash: Crash, agent_id: str) -> list[Document]:
    """Return what the event stream tells of an agent."""
    with crash.valkey() as client:
        entries = client.xrange("orchestrator:events:stream")
    told: list[dict[str, Any]] = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in told if event.get("agentId") == agent_id]


def members(client: redis.Redis, name: str) -> set[str]:
    """Return who is in a sorted set."""
    return {member.decode().partition(" ")[0] for member in client.zrange(name, 0, -1)}


def left_of(agent_ids: set[str], folder: Path) -> list[str]:
    """Return what stands in a folder under the names of these agents."""
    names = sorted(path.name for path in folder.glob("*"))
    return [name for name in names if name.partition(".")[0] in agent_ids]


def _project(holds: Path) -> dict[str, str]:
    gate = _GATE.format(hold=holds / "hold", holds=holds)
    return {
        "pyproject.toml": '[tool.orchestrator.gates]\ntests = "sh gate.sh"\n',
        "gate.sh": gate,
    }


# ── the table ───────────────────────────────────────────────────────────────────────────────

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- crash matrix -->\n", "<!-- /crash matrix -->\n"


def table() -> str:
    """Render the matrix as the tests hold it."""
    faults = FAULTS.values()
    rows = [
        ["at", *(fault.title for fault in faults)],
        ["---"] * (len(faults) + 1),
        *([step, *(fault.outcome(step) for fault in faults)] for step in STEPS),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def documented() -> str:
    """Return the table that stands in the documentation."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the table into the documentation."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}{table()}{END}{after}")


if __name__ == "__main__":
    main()
