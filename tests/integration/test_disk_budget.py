"""Disk is a budget: an agent has its share of it, and a disk that is low admits none."""

from __future__ import annotations

import json

from tests.integration.conftest import SAMPLE, make_remote, running
from tests.processes import eventually

QUOTA_BYTES = 4 * 2**20


def test_an_agent_that_fills_the_disk_fails_with_numbers_and_its_workspace_goes(tmp_path, script):
    remote = make_remote(tmp_path, SAMPLE)
    fill = "for n in 1 2 3 4 5 6; do head -c 1M /dev/zero > $n; done; sleep 600"
    home = tmp_path / "home"
    with running(
        home, ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_DISK_QUOTA=f"{QUOTA_BYTES}"
    ) as system:
        agent_id = system.spawn(remote, script({"run": fill}))
        outcome = system.wait(agent_id)
        assert (outcome["status"], outcome["errorCode"]) == ("failed", "disk_quota_exceeded")
        used, quota = (int(word) for word in outcome["error"].split() if word.isdecimal())
        assert used > quota == QUOTA_BYTES
        eventually(lambda: not (home / "workspaces" / agent_id).exists())


def test_a_disk_below_its_mark_keeps_agents_waiting_and_says_so(tmp_path, script):
    remote = make_remote(tmp_path, SAMPLE)
    with running(
        tmp_path / "home", ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_DISK_LOW_WATER="1000TiB"
    ) as system:
        agent_id = system.spawn(remote, script({"run": "true"}))

        def state():
            return json.loads(system.orch("status", agent_id, "--json").stdout)

        eventually(lambda: "low-water mark" in state().get("waitingFor", ""))
        assert (state()["status"], state()["attempt"]) == ("spawning", 0)
        found = json.loads(system.orch("doctor", "--json", check=False).stdout)["checks"]
        disk = next(check for check in found if check["name"] == "disk")
        assert disk["status"] == "fail"
        assert "1024000.0 GiB" in disk["detail"]
