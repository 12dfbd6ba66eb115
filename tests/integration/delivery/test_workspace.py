"""Hooks and included files of the base prepare the workspace; an overlap is reported."""

from __future__ import annotations

import json
import re
import threading

import pytest
import redis

from orchestrator.models import Status
from orchestrator.store import keys
from orchestrator.store.agent_logs import read_log
from orchestrator.store.events import read_events
from orchestrator.store.operations import command, nothing
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import write
from tests.processes import eventually


def test_hooks_and_included_files_of_the_base_make_the_workspace_buildable(lab, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git("init", "-q", "-b", "main", cwd=checkout)
    hooks = '[hooks]\nafter_create = "cp local.env made"\nafter_run = "echo done > after"\n'
    files = {
        **SAMPLE,
        "orchestrator.toml": hooks,
        ".gitignore": "local.env\nother.env\n",
        ".worktreeinclude": "local.env\n",
    }
    for name, content in files.items():
        (checkout / name).write_text(content)
    git("add", "-A", cwd=checkout)
    git("commit", "-q", "-m", "Begin", cwd=checkout)
    (checkout / "local.env").write_text("COLOUR=blue\n")
    (checkout / "other.env").write_text("COLOUR=red\n")
    one = lab()
    agent = one.play(checkout, {"run": "cat made > seen; ls *.env >> seen"})
    assert agent.status is Status.COMPLETED, agent.error
    assert git("show", f"{agent.commit}:seen", cwd=checkout) == "COLOUR=blue\nlocal.env"
    assert git("show", f"{agent.commit}:after", cwd=checkout) == "done"
    log = [
        line.text for line in one.store.follow(read_log(agent.agent_id)) if line.source == "hook"
    ]
    assert log[0].startswith("1 files included")
    assert "after_create: cp local.env made" in log


@pytest.mark.parametrize(
    ("hooks", "code", "said"),
    [
        ('before_run = "echo no compiler; exit 3"', "hook_failed", "exit code 3.*no compiler"),
        ('after_create = "sleep 60"', "hook_failed", "did not end within 1 s"),
        ("after_create = 7", "hooks_invalid", r"orchestrator.toml \[hooks\] after_create"),
        ('afterwards = "x"', "hooks_invalid", "afterwards"),
    ],
)
def test_a_hook_that_does_not_work_is_a_typed_end(lab, tmp_path, hooks, code, said):
    remote = make_remote(tmp_path / "r", {**SAMPLE, "orchestrator.toml": f"[hooks]\n{hooks}\n"})
    agent = lab(ORCHESTRATOR_HOOK_TIMEOUT="1s").play(remote, write("new.py", "NEW = 1\n"))
    assert (agent.status, agent.error_code) == (Status.FAILED, code)
    assert re.search(said, agent.error)


def test_two_live_agents_in_one_file_are_told_of(lab, remote, monkeypatch):
    monkeypatch.setattr("orchestrator.stages.spawn.monitors.overlap.EVERY_S", 0.1)
    one = lab()
    connection = redis.Redis.from_url(one.settings.valkey_url)
    first = one.spawn(remote, write("calc.py", "x = 1\n"))
    # As another live agent of this repository left it.
    left = json.dumps({"files": ["calc.py", "elsewhere"], "reported": {}})
    connection.hset(keys.touched(str(remote)), "another", left)
    agent_id = one.spawn(
        remote,
        write("calc.py", "x = 1\n"),
        {"run": "while [ ! -e go ]; do sleep 0.1; done; rm go"},
    )
    del first
    worker = threading.Thread(target=one.work, args=(agent_id,))
    worker.start()

    def overlaps() -> list:
        events = one.store.run(read_events(after="0-0"))
        return [entry.event for entry in events if entry.event.type == "agent.overlap"]

    event, _ = eventually(overlaps)
    (one.settings.workspaces_dir / agent_id / "tree" / "go").write_text("")
    worker.join()
    assert (event.agent_id, event.other, event.files) == (agent_id, "another", ("calc.py",))
    one.store.run(command("PING", decode=nothing))
    assert not connection.hexists(keys.touched(str(remote)), agent_id)
