"""A worker with many agents has enough file descriptors; without any left, no agent fails."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import HostExhausted, OrchestratorError
from orchestrator.host.descriptors import raise_descriptor_limit
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.leases.retry_policy import known_error
from orchestrator.sandboxes.process import ProcessSandbox
from orchestrator.settings import load_settings
from orchestrator.workspace.git import Git
from tests.pools import pool_worker
from tests.processes import eventually

AGENT = SimpleNamespace(agent_id="a-1")


@contextmanager
def limited(soft: int) -> Iterator[None]:
    """Lower the soft limit of this process, and of those that it starts."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def open_files() -> set[int]:
    """Return the descriptors that are open in this process."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def soft_limit(pid: int) -> int:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return int(next(line for line in limits if line.startswith("Max open files")).split()[3])


def test_a_worker_raises_its_limit_of_open_files(tmp_path, valkey_url, store):
    """155 agents used up the 1,024 of a login shell, and a dozen of them failed."""
    # Enough to start it from a process that has many open.
    soft = max(open_files()) + 64
    with limited(soft), pool_worker(tmp_path, valkey_url, "spawn") as worker:
        assert eventually(lambda: soft_limit(worker.process.pid) > soft)


def test_a_limit_is_raised_no_further_than_allowed():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with limited(64):
        raise_descriptor_limit()
        assert 64 < resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= hard


@pytest.mark.parametrize("starts", ["program", "git"])
def test_a_start_without_descriptors_is_a_fault_of_the_host(tmp_path, starts):
    """Whichever step lacks one, the error is retried, and is none of agent or repository."""
    git = Git(load_settings({"ORCHESTRATOR_HOME": str(tmp_path)}))
    spec = ProcessSpec("a-1", ("true",), {"PATH": os.environ["PATH"]}, tmp_path)

    def start() -> None:
        if starts == "git":
            git.attempt("version", git_dir=tmp_path)
            return
        with ProcessSandbox(60, "0" * 16).start(spec) as process:
            while process.exit_code is None:
                process.read(20)

    def ended(soft: int) -> type[OrchestratorError] | None:
        try:
            with limited(soft):
                start()
        except Exception as error:  # noqa: BLE001 - as the edge of an attempt
            return type(known_error(error, AGENT))
        return None

    used = open_files()
    unused = [number for number in range(len(used) + 30) if number not in used]
    ends = {ended(limit) for limit in unused[:30]}

    assert ends == {HostExhausted, None}
