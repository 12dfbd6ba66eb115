"""The folder where `orch up` was started is removed while the system runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integration.conftest import SAMPLE, make_remote, running

WRITE = "steps: [{write: {path: new.txt, content: x}}, {say: done}]"


def test_a_system_does_not_need_the_folder_where_it_was_started(tmp_path: Path):
    """The settings stay those of the `.env` in it, also in processes of workers that start later.

    Otherwise the delivery would be a branch.
    """
    start = tmp_path / "start"
    start.mkdir()
    (start / ".env").write_text("ORCHESTRATOR_DELIVERY=keep\nORCHESTRATOR_AGENT=scripted\n")
    remote = make_remote(tmp_path, SAMPLE)
    with running(tmp_path / "home", within=("env", "-C", str(start))) as system:
        shutil.rmtree(start)
        ended = system.wait(system.spawn(remote, WRITE))
        assert ended["status"] == "completed", ended
        assert ended["branch"] is None
        assert ended["commit"]
