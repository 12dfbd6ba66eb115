"""Each level of confinement ends all processes and keeps its limits."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest

from orchestrator.cli.commands.doctor import see_level
from orchestrator.errors import BackendUnavailable, SettingsInvalid
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import build
from tests.faults.conftest import Fleet, all_killed, send
from tests.integration.conftest import SAMPLE, make_remote, running
from tests.integration.test_process_sandbox import TREE, Observer
from tests.processes import eventually
from tests.sandbox.levels import LEVELS, sandbox_at, settings_at

#: A plain child, a session leader, a daemon, one with an emptied environment, one that re-forks.
FIVE = "child,session,daemon,stubborn,forker"


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each level that this host allows."""
    return sandbox_at(request.param, tmp_path).level


def test_nothing_of_the_five_outlives_a_kill_a_kill_all_or_the_death_of_its_worker(
    level: str, tmp_path: Path
):
    remote = make_remote(tmp_path, SAMPLE | {"tree.py": TREE})
    word = f"five-{uuid.uuid4()}"
    command = f"mkdir /tmp/{word}-$$ && exec python3 -I -S tree.py /tmp/{word}-$$ {FIVE}"
    observer = Observer(word)
    with running(
        tmp_path / "home", ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_PROCESS_LEVEL=level
    ) as system:
        fleet = Fleet(system)

        def start(count: int = 1) -> list[str]:
            ids = [fleet.spawn(remote, {"run": command}) for _ in range(count)]
            eventually(lambda: observer.record() >= count * (1 + len(FIVE.split(","))))
            eventually(lambda: {fleet.state(one).get("sandbox") for one in ids} == {level})
            return ids

        fleet.kill(*start())
        assert not observer.survivors()
        start(2)
        assert fleet.kill_all() == all_killed(2)
        assert not observer.survivors()
        send(fleet.worker_pid(*start()), signal.SIGKILL)
        observer.await_none()


def test_a_level_that_cannot_be_had_is_an_error_and_else_the_next_one_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    git_only = tmp_path / "bin"
    git_only.mkdir()
    monkeypatch.setenv("PATH", str(git_only))
    with pytest.raises(SettingsInvalid, match="ORCHESTRATOR_PROCESS_LEVEL: bubblewrap"):
        build(settings_at("bubblewrap", tmp_path))
    assert build(settings_at("auto", tmp_path)).level != "bubblewrap"
    with pytest.raises(BackendUnavailable, match="no bwrap") as lacking:
        see_level(settings_at("auto", tmp_path))
    assert lacking.value.what_to_do == "apt-get install bubblewrap"
    assert see_level(settings_at("shim", tmp_path)).startswith("shim")


def test_programs_end_before_their_worker_when_memory_runs_out(level: str, tmp_path: Path):
    """The kernel ends the processes with the highest score first; a child has its parent's."""
    own = Path("/proc/self/oom_score_adj")
    spec = ProcessSpec("a-1", ("sh", "-c", f"cat {own}"), {"PATH": os.environ["PATH"]}, tmp_path)
    before = int(own.read_text())
    sandbox = sandbox_at(level, tmp_path / "home")
    ended = run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=1000)
    assert int(ended.stdout) >= 500 > before
    assert int(own.read_text()) == before


def test_limits_of_descriptors_and_of_files_hold_at_each_level(level: str, tmp_path: Path):
    sandbox = sandbox_at(level, tmp_path / "home", ORCHESTRATOR_DISK_QUOTA="1MiB")
    script = "ulimit -n; ulimit -c; head -c 2000000 /dev/zero > big; wc -c < big"
    spec = ProcessSpec("a-1", ("sh", "-c", script), {"PATH": os.environ["PATH"]}, tmp_path)
    ended = run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=1000)
    files, core, size = map(int, ended.stdout.split())
    assert files <= 65_536
    assert (core, size) == (0, 2**20)
