"""A submodule whose content is absent is named in the agent's log and in its gate report."""

from __future__ import annotations

from orchestrator.models import Status
from orchestrator.store import changes
from orchestrator.store.agent_logs import read_log
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.test_delivery import Lab, write


def test_an_absent_submodule_is_named_to_the_agent_and_in_the_report(tmp_path, valkey_url):
    remote = make_remote(tmp_path, SAMPLE)
    seed = tmp_path / "seed"
    head = git("rev-parse", "HEAD", cwd=seed)
    git("update-index", "--add", "--cacheinfo", f"160000,{head},vendor", cwd=seed)
    (seed / ".gitmodules").write_text(
        f'[submodule "v"]\n\tpath = vendor\n\turl = {tmp_path}/other.git\n'
    )
    git("add", ".gitmodules", cwd=seed)
    git("commit", "-q", "-m", "Pin", cwd=seed)
    git("push", "-q", str(remote), "HEAD:main", cwd=seed)
    lab = Lab(tmp_path, valkey_url, ORCHESTRATOR_PROCESS_LEVEL="shim")
    agent = lab.play(remote, write("new.txt", "x"))
    assert agent.status is Status.COMPLETED, agent.error
    lines = [line.text for line in lab.store.run(read_log(agent.agent_id))]
    assert any("submodule vendor is an empty folder" in line for line in lines)
    (report,) = lab.store.run(changes.read_reports(agent.agent_id))
    assert [entry.path for entry in report.not_judged] == ["vendor"]
