"""Submodules in an agent's log and in its gate report: what is absent, and a pin of no remote."""

from __future__ import annotations

from pathlib import Path

from orchestrator.models import Status
from orchestrator.store import changes
from orchestrator.store.agent_logs import read_log
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import Lab, branches, write


def _with_submodule(tmp_path: Path) -> Path:
    """Make a remote whose `vendor` pins a commit of another remote beside it."""
    other = make_remote(tmp_path / "other", {"a.txt": "a"})
    remote = make_remote(tmp_path, SAMPLE)
    seed = tmp_path / "seed"
    head = git("rev-parse", "HEAD", cwd=other)
    git("update-index", "--add", "--cacheinfo", f"160000,{head},vendor", cwd=seed)
    (seed / ".gitmodules").write_text(
        '[submodule "v"]\n\tpath = vendor\n\turl = ../other/remote.git\n'
    )
    git("add", ".gitmodules", cwd=seed)
    git("commit", "-q", "-m", "Pin", cwd=seed)
    git("push", "-q", str(remote), "HEAD:main", cwd=seed)
    return remote


def test_a_pin_that_nobody_could_fetch_goes_back_to_the_agent(tmp_path, valkey_url):
    remote = _with_submodule(tmp_path)
    lab = Lab(
        tmp_path,
        valkey_url,
        ORCHESTRATOR_PROCESS_LEVEL="shim",
        ORCHESTRATOR_SUBMODULES="same-host",
    )
    commit = "git -c user.name=a -c user.email=a@example.org commit -qam moved"
    agent = lab.play(remote, {"run": f"cd vendor && echo b > a.txt && {commit}"}, maxRetries=0)
    assert (agent.status, agent.error_code) == (Status.FAILED, "gates_rejected"), agent.error
    (report,) = lab.store.run(changes.read_reports(agent.agent_id))
    assert [(found.kind, found.path) for found in report.findings] == [("submodule-pin", "vendor")]
    assert branches(remote) == {"main"}


def test_an_absent_submodule_is_named_to_the_agent_and_in_the_report(tmp_path, valkey_url):
    remote = _with_submodule(tmp_path)
    lab = Lab(tmp_path, valkey_url, ORCHESTRATOR_PROCESS_LEVEL="shim")
    agent = lab.play(remote, write("new.txt", "x"))
    assert agent.status is Status.COMPLETED, agent.error
    lines = [line.text for line in lab.store.follow(read_log(agent.agent_id))]
    assert any("submodule vendor is an empty folder" in line for line in lines)
    (report,) = lab.store.run(changes.read_reports(agent.agent_id))
    assert [entry.path for entry in report.not_judged] == ["vendor"]
