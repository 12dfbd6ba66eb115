"""Who waits for what a stopped worker has locked waits neither for ever nor once it is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from orchestrator.errors import GitTimedOut, WorkspaceInUse
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.workspace.disk import locked
from orchestrator.workspace.mirror import Base
from tests.processes import eventually

from .conftest import Host, Upstream


def use(
    host: Host, upstream: Upstream, what: str
) -> tuple[Callable[[], AbstractContextManager[object] | Base], type[Exception]]:
    if what == "mirror":
        return lambda: host.mirrors.refresh(upstream.url, "main"), GitTimedOut

    def keep() -> AbstractContextManager[object]:
        kept = host.workspaces.held("a1")
        kept.__enter__()
        return kept

    return keep, WorkspaceInUse


@pytest.fixture(params=["mirror", "workspace"])
def wanted(request: pytest.FixtureRequest) -> str:
    """What is locked."""
    what: str = request.param
    return what


@pytest.fixture
def stopped_worker(base: Base, make_host: Callable[..., Host], wanted: str) -> Iterator[None]:
    """A process that has the lock, and does not run."""
    home = make_host().settings
    home.workspaces_dir.mkdir(exist_ok=True)
    lock = base.mirror.with_suffix(".lock") if wanted == "mirror" else _lock_of(home.workspaces_dir)
    worker = os.fork()
    if worker == 0:
        with locked(lock):
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
    assert os.WIFSTOPPED(os.waitpid(worker, os.WUNTRACED)[1])
    yield
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)


def _lock_of(folder: Path) -> Path:
    return folder / "a1.lock"


@pytest.mark.usefixtures("stopped_worker")
def test_the_wait_ends_in_its_time(
    make_host: Callable[..., Host], upstream: Upstream, wanted: str
) -> None:
    act, error = use(make_host(ORCHESTRATOR_GIT_TIMEOUT="100ms"), upstream, wanted)
    with pytest.raises(error) as caught:
        act()
    assert caught.value.retryable


@pytest.mark.usefixtures("stopped_worker")
def test_a_kill_ends_the_wait(host: Host, upstream: Upstream, wanted: str) -> None:
    """With the whole Git time limit to wait yet."""
    act, error = use(host, upstream, wanted)
    cancel_scope = CancelScope()
    threading.Timer(0.2, cancel_scope.end).start()
    with working_in(cancel_scope), pytest.raises(error):
        act()


def test_a_lock_whose_file_was_removed_is_no_lock(tmp_path: Path) -> None:
    """Who waited for it, and who came after its removal, do not hold it side by side."""
    path = tmp_path / "lock"
    holding = threading.Event()
    done = threading.Event()

    def wait_for_it() -> None:
        with locked(path, wait_s=60.0):
            holding.set()
            done.wait()

    waiting = threading.Thread(target=wait_for_it)
    with locked(path):
        waiting.start()
        eventually(lambda: _openers(path) == 2)
        path.unlink()
    assert holding.wait(60.0)
    with pytest.raises(BlockingIOError), locked(path):
        pass
    done.set()
    waiting.join()


def _openers(path: Path) -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += descriptor.samefile(path)
    return found
