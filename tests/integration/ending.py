"""An attempt in this process, in which one step fails as it is told; all the rest is real."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from orchestrator import errors
from orchestrator.errors import OrchestratorError
from orchestrator.models import AgentState
from orchestrator.store import agents, changes
from orchestrator.store.client import Store
from orchestrator.wiring import submit_service
from orchestrator.wiring.worker import Services, build
from tests.integration.conftest import git

STEPS = (
    *("preparation", "launch", "mid run", "result", "after_run"),
    *("capture", "store", "session", "enqueue"),
)
#: The soak meets every class at every step.
EVERY = os.environ.get("ENDS") == "all"
BUGS = (RuntimeError, KeyError, OSError, MemoryError)
_OF_A_KIND = 3
HOOKS = """
[hooks]
after_create = "echo hook > hook.txt"
before_run = "true"
after_run = "true"
"""


def error_classes() -> list[type[OrchestratorError]]:
    """Return every class of the tree of errors, those that are added later included."""
    found = [getattr(errors, name) for name in errors.__all__]
    return sorted((one for one in found if inspect.isclass(one)), key=lambda one: one.__name__)


def ends() -> list[tuple[type[Exception], int]]:
    """Return the classes an attempt may end by, each with its number, which chooses its step.

    In CI these are some of each kind, which is the parent and whether it is retried.
    """
    numbered = list(enumerate((*error_classes(), *BUGS)))
    kinds = Counter[tuple[type, bool]]()
    chosen: list[tuple[type[Exception], int]] = []
    for number, one in numbered:
        kind = (one.__base__ or one, getattr(one, "retryable", False))
        kinds[kind] += 1
        if EVERY or one in BUGS or kinds[kind] <= _OF_A_KIND:
            chosen.append((one, number))
    return chosen


def make_error(kind: type[Exception]) -> Exception:
    """Make an error of this class, whatever its constructor asks for."""
    if not issubclass(kind, OrchestratorError):
        return kind("injected")
    if kind is errors.RequestInvalid:
        return kind((("body", "injected"),))
    asked = inspect.signature(kind).parameters.values()
    needed = {one.name: 1 for one in asked if one.kind is one.KEYWORD_ONLY and one.default != ""}
    detail: list[object] = ["injected"] if any(one.name == "detail" for one in asked) else []
    if kind is errors.ClockSkewed:
        detail = [90.0, 60.0]
    if kind is errors.IdAmbiguous:
        detail = ["a1", ("a1-1", "a1-2")]
    return kind(*detail, **needed)


@dataclass
class Fault:
    """What fails, where, and how often."""

    step: str
    error: Exception
    times: int = 1
    met: int = 0

    def strike(self, step: str) -> None:
        """Fail if this is the step."""
        if step == self.step and self.met < self.times:
            self.met += 1
            raise self.error


def is_capture(argv: tuple[str, ...]) -> bool:
    """Tell the capture from the agent's program and its hooks: its job names a bundle."""
    return '"bundle"' in argv[-1]


class FaultySandbox:
    """The real sandbox; what is started in it may fail first."""

    def __init__(self, sandbox: Any, fault: Fault, *names: str) -> None:
        self._sandbox, self._fault, self._names = sandbox, fault, iter(names)
        self.level = sandbox.level

    @contextmanager
    def start(self, spec: Any) -> Iterator[Any]:
        """Start a program."""
        step = "capture" if is_capture(spec.argv) else next(self._names, "")
        self._fault.strike(step)
        with self._sandbox.start(spec) as process:
            yield FaultyProcess(process, self._fault, spec.cwd) if step == "launch" else process


class FaultyProcess:
    """The agent's real process; reading its output may fail once it has written its file."""

    def __init__(self, process: Any, fault: Fault, worktree: Path) -> None:
        self._process, self._fault, self._worktree = process, fault, worktree

    def read(self, timeout_s: float) -> Any:
        """Read."""
        made = self._worktree / "made.txt"
        if made.exists() and made.read_text():
            self._fault.strike("mid run")
        return self._process.read(timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


class FaultyBackend:
    """The scripted backend, and sessions in the agent's HOME."""

    def __init__(self, backend: Any, fault: Fault) -> None:
        self._backend, self._fault = backend, fault

    def signals(self, line: bytes) -> Any:
        """Read a line."""
        if b'"result"' in line:
            self._fault.strike("result")
        return self._backend.signals(line)

    def export_session(self, home: Path, session_id: str) -> dict[str, list[str]]:
        """Take a session."""
        del home, session_id
        self._fault.strike("session")
        return {"": ['{"uuid": "1"}']}

    def import_session(self, job: Any, session: Any) -> None:
        """Put a session."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class FaultyStore:
    """The real store; the change, or the message to the gates, may not get into it."""

    def __init__(self, store: Any, fault: Fault) -> None:
        self._store, self._fault = store, fault

    def run(self, operation: Any) -> Any:
        """Run."""
        words = [str(word) for word in operation.arguments]
        if operation.script is not None and operation.script.name == "hold_object":
            self._fault.strike("store")
        if any('"awaiting-gates"' in word and '"changeAttempt"' in word for word in words):
            self._fault.strike("enqueue")
        self._fault.strike("all of valkey")
        return self._store.run(operation)

    def follow(self, flow: Any, *, check: Any = lambda: None) -> Any:
        """Run a flow, each operation by this."""
        return Store.follow(cast("Store", self), flow, check=check)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Host:
    """One host's services and a repository."""

    settings: Any
    store: Any
    remote: Path
    scratch: Path
    name: str = "spawn@here"
    services: Services = field(init=False)

    def __post_init__(self) -> None:
        self.services = build(self.settings, worker=self.name)

    def spawn(self, script: str, **changes: Any) -> str:
        """Register an agent that plays this script."""
        context = {"repository": str(self.remote), "branch": "main", "workItems": [script]}
        body = {"taskId": "t-1", "agentType": "worker", "gateProfile": "minimal"}
        asked = {**body, "context": context, "agent": "scripted", **changes}
        return str(self.store.run(submit_service(self.settings).submit(asked)).agent_id)

    def run(self, agent_id: str, fault: Fault | None = None) -> AgentState:
        """Run one attempt of it; returns its state then."""
        runner = self.services.runner
        if fault is not None:
            runner = self.faulty(fault)
        runner.run(agent_id)
        return self.state(agent_id)

    def faulty(self, fault: Fault) -> Any:
        """Return a runner in which this fails."""
        runner = self.services.runner
        sandbox = runner.executor.sandbox
        programs = ("after_create", "preparation", "launch", "after_run")
        holder = replace(runner.holder, store=FaultyStore(self.store, fault))
        capture = replace(runner.capture, holder=holder, sandbox=FaultySandbox(sandbox, fault))
        return replace(
            runner,
            holder=holder,
            backends=lambda name: FaultyBackend(runner.backends(name), fault),
            executor=replace(
                runner.executor, holder=holder, sandbox=FaultySandbox(sandbox, fault, *programs)
            ),
            capture=capture,
            work_saver=replace(runner.work_saver, store=holder.store, salvage=capture.salvage),
        )

    def state(self, agent_id: str) -> AgentState:
        """Return its state."""
        return self.store.run(agents.read(agent_id))

    def stored(self, agent_id: str, attempts: int = 9) -> dict[str, str]:
        """Return the files of the newest change that is stored of it; empty if there is none."""
        try:
            _, bundle = self.store.follow(changes.newest_change(agent_id, attempts))
        except errors.ChangeMissing:
            return {}
        self.scratch.with_name("bundle").write_bytes(bundle)
        if not (self.scratch / ".git").exists():
            git("clone", "-q", str(self.remote), ".", cwd=self.scratch)
        git(
            "fetch",
            "-q",
            str(self.scratch.with_name("bundle")),
            "refs/orchestrator/change",
            cwd=self.scratch,
        )
        names = git("ls-tree", "-r", "--name-only", "FETCH_HEAD", cwd=self.scratch).splitlines()
        return {name: git("show", f"FETCH_HEAD:{name}", cwd=self.scratch) for name in names}

    def workspaces(self) -> list[str]:
        """Return what stands in the folder of workspaces, spares and locks aside."""
        folder = self.settings.workspaces_dir
        return sorted(one.name for one in folder.iterdir() if one.name != ".spare")
