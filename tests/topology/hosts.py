"""Two worker hosts as containers, and what they have between them: Valkey and a git remote."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_celery import CeleryTestWorker, CeleryWorkerContainer, RedisContainer

from tests.doubles.git_http import GitServer
from tests.faults.crashes.crash import Crash
from tests.faults.crashes.watch import queued
from tests.integration.conftest import System
from tests.processes import eventually

IMAGE = "orchestrator:local"
#: The user of the image.
UID = 10001
HOME = "/var/lib/orchestrator"
TOKEN = "token-of-the-topology"


class ValkeyContainer(RedisContainer):
    """Valkey from the wheel's server, in our image; it keeps what it answered."""

    @classmethod
    def command(cls, *args: str, **_options: Any) -> list[str]:
        policy = ["--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no"]
        return ["valkey-server", "--dir", "/var/lib/valkey", "--save", "", *policy, *args]


class PoolContainer(CeleryWorkerContainer):
    """One pool of a host, started as compose and systemd start it."""

    @property
    def ready_prompt(self) -> None:
        """Not waited for one after the other: all start at once."""
        return


class Hosts(Crash):
    """Agents on two hosts: `home` holds spawn and cleanup, `second` gates and cleanup."""

    def __init__(
        self,
        stand: Path,
        pools: dict[str, CeleryTestWorker],
        valkey_url: str,
        remote: GitServer,
        names: Iterable[str],
    ) -> None:
        # Remotes are a run's own; homes, and what makes agents wait, are those of the containers.
        folder = Path(tempfile.mkdtemp(dir=stand))
        folder.chmod(0o755)
        (folder / "second").symlink_to(stand / "second")
        system = System(api="", valkey=valkey_url, home=stand / "home", env={})
        super().__init__(system, folder, names)
        self.holds = stand / "holds"
        for left in [*self.holds.glob("*/"), *self.holds.glob("judged-*")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.pools = pools
        self._remote = remote
        self._locks = ExitStack()

    def address(self, remote: Path) -> str:
        return f"{self._remote.url}/{self.folder.name}/{remote.name}"

    def release(self) -> None:
        for step in self.ids:
            if (self.holds / step).is_dir():
                (self.holds / step / "go").touch()
        self._locks.close()

    def settle(self) -> None:
        """Wait until every agent has ended and is cleaned up, by whatever host."""
        self.await_end(*self.ids)

    def _hold_cleanup(self) -> None:
        """Either host may be the one that cleans up: lock the workspace's name on both."""
        agent_id = self.ids["cleaning"]
        eventually((self.holds / "cleaning").is_dir)
        eventually(lambda: not list((self.system.home / "workspaces").glob(f"{agent_id}*")))
        for home in (self.system.home, self.folder / "second"):
            path = home / "workspaces" / f"{agent_id}.lock"
            path.parent.mkdir(exist_ok=True)
            lock = self._locks.enter_context(path.open("w"))
            for made in (path.parent, path):
                os.chown(made, UID, UID)
            fcntl.flock(lock, fcntl.LOCK_EX)
        (self.holds / "cleaning" / "go").touch()
        eventually(lambda: self.state("cleaning")["phase"] == "ended")
        with self.valkey() as client:
            eventually(lambda: not queued(client, agent_id))
