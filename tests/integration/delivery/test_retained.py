"""The work of a failed agent is shown, exported and continued."""

from __future__ import annotations

import json

from orchestrator.models import Status
from tests.integration.conftest import git
from tests.integration.delivery.lab import orch, write


def test_work_of_a_failed_agent_is_seen_exported_and_gone_on_with(lab, remote, tmp_path):
    one = lab()
    failed = one.play(remote, write("half.py", "HALF = 1\n"), {"fail": 3})
    assert failed.status is Status.FAILED
    one.services.cleanup.run(failed.agent_id)
    shown = orch(one, "diff", failed.agent_id, cwd=tmp_path)
    assert "+HALF = 1" in shown.stdout, shown.stderr
    clone = tmp_path / "mine"
    git("clone", "-q", str(remote), str(clone), cwd=tmp_path)
    orch(one, "export", failed.agent_id, "--patch", "-o", "half.patch", cwd=tmp_path)
    git("apply", str(tmp_path / "half.patch"), cwd=clone)
    assert (clone / "half.py").read_text() == "HALF = 1\n"
    orch(one, "export", failed.agent_id, cwd=tmp_path)
    bundle = tmp_path / f"{failed.agent_id}.bundle"
    git("fetch", "-q", str(bundle), "refs/orchestrator/change", cwd=clone)
    assert git("show", "FETCH_HEAD:half.py", cwd=clone) == "HALF = 1"
    retried = json.loads(orch(one, "retry", failed.agent_id, "--json", cwd=tmp_path).stdout)
    again = one.work(retried["agentId"])
    assert again.status is Status.FAILED
    # The same script fails again, but it began with what the first had left.
    afresh = orch(one, "retry", "--afresh", again.agent_id, cwd=tmp_path)
    assert afresh.returncode == 0, afresh.stderr
    nothing_kept = orch(one, "diff", "no-such-agent", cwd=tmp_path)
    assert "There is no agent" in nothing_kept.stderr
