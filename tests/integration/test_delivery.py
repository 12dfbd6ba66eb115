"""What leaves: nothing with a secret, by the conflict policy, pushed once and fenced."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.models import AgentState, Status
from orchestrator.settings import load_settings
from orchestrator.store import agent_transitions, agents, changes, keys
from orchestrator.store.agent_logs import read_log
from orchestrator.store.events import read_events
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import submit_service
from orchestrator.wiring.worker import Services, build
from tests.doubles.git_http import git_server
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.processes import eventually


def secret() -> str:
    """Make a token as a code host would, joined when it is asked for."""
    return "_".join(("ghp", secrets.token_hex(18)))


class Lab:
    """One host's services, worked step by step in this process."""

    def __init__(self, home: Path, valkey_url: str, **variables: str) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ORCHESTRATOR_HOME": str(home / "host"),
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_AGENT": "scripted",
            **variables,
        }
        self.settings = load_settings(self.environment, dotenv=home / "no.env")
        self.services: Services = build(self.settings, worker="spawn@here")
        self.store = self.services.store

    def spawn(self, remote: Path | str, *steps: object, **more: Any) -> str:
        script = {"rounds": more.pop("rounds")} if "rounds" in more else {"steps": list(steps)}
        context = {"repository": str(remote), "branch": "main", "workItems": [json.dumps(script)]}
        body = {
            "taskId": "t-1",
            "agentType": "worker",
            "gateProfile": "minimal",
            "context": context,
            **more,
        }
        return self.store.run(submit_service(self.settings).submit(body)).agent_id

    def state(self, agent_id: str) -> AgentState:
        return self.store.run(agents.read(agent_id))

    def work(self, agent_id: str) -> AgentState:
        self.services.runner.run(agent_id)
        return self.state(agent_id)

    def evaluate(self, agent_id: str) -> AgentState:
        self.services.gate_check.run(agent_id, self.state(agent_id).attempt)
        return self.state(agent_id)

    def play(self, remote: Path | str, *steps: object, **more: Any) -> AgentState:
        """Run an agent to its end, however many rounds that takes."""
        agent_id = self.spawn(remote, *steps, **more)
        while (agent := self.state(agent_id)).status in (Status.SPAWNING, Status.RUNNING):
            self.work(agent_id)
            agent = self.state(agent_id)
            if agent.status is Status.RUNNING:
                self.evaluate(agent_id)
        return agent


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str) -> Callable[..., Lab]:
    return lambda **variables: Lab(tmp_path, valkey_url, **variables)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


def write(path: str, content: str) -> dict[str, object]:
    return {"write": {"path": path, "content": content}}


def advance(remote: Path, **files: str) -> str:
    """Let somebody else push to `main`."""
    clone = remote.parent / f"someone-{secrets.token_hex(4)}"
    git("clone", "-q", str(remote), str(clone), cwd=remote.parent)
    for name, content in files.items():
        (clone / name.replace("__", ".")).write_text(content)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", "Meanwhile", cwd=clone)
    git("push", "-q", "origin", "main", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


def branches(remote: Path) -> set[str]:
    return set(git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=remote).split())


# ── secrets ─────────────────────────────────────────────────────────────────────────────────


def test_a_secret_goes_back_to_the_agent_and_never_leaves(lab, remote):
    value = secret()
    one = lab()
    agent = one.play(
        remote,
        rounds=[
            [write("config.py", f"TOKEN = '{value}'\n"), {"say": f"I used {value}"}],
            [write("config.py", "import os\nTOKEN = os.environ['TOKEN']\n")],
        ],
    )
    assert (agent.status, agent.rounds) == (Status.COMPLETED, 1), agent.error
    (rejected, *_) = one.store.run(changes.read_reports(agent.agent_id))
    assert [(gate.name, gate.status) for gate in rejected.gates] == [("secrets", "failed")]
    assert {finding.path for finding in rejected.findings} == {"config.py"}
    assert "commit anew" in rejected.gates[0].detail
    pushed = git("log", "-p", "--all", cwd=remote)
    assert value not in pushed
    everything = b"".join(
        redis.Redis.from_url(one.settings.valkey_url).dump(key) or b""
        for key in redis.Redis.from_url(one.settings.valkey_url).scan_iter("orchestrator:[aglt]*")
    )
    log = " ".join(line.text for line in one.store.run(read_log(agent.agent_id)))
    assert "[secret:" in log
    assert value not in log
    assert value.encode() not in everything


def test_a_secret_that_a_later_commit_removes_is_found(lab, remote):
    value = secret()
    commit = "git add -A; git -c user.name=a -c user.email=a@b commit -qm more"
    agent = lab().play(
        remote,
        {"run": f"echo 'TOKEN = \"{value}\"' > leaked.py; {commit}"},
        {"run": f"rm leaked.py; echo 1 > kept; {commit}"},
        maxRetries=0,
    )
    assert (agent.status, agent.error_code) == (Status.FAILED, "gates_rejected")
    assert "leaked.py: secret:" in agent.error
    assert branches(remote) == {"main"}


# ── conflicts ───────────────────────────────────────────────────────────────────────────────


def test_by_default_a_conflicting_change_is_pushed_and_its_conflicts_told(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, write("calc.py", "def add(a, b):\n    return b + a\n"))
    one.work(agent_id)
    advance(remote, calc__py="def add(a, b):\n    return sum((a, b))\n")
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert [(one.path, one.kind) for one in agent.conflicts] == [("calc.py", "contents")]
    assert f"agent/{agent_id}" in branches(remote)


def test_under_rebase_the_gates_judge_the_tree_on_the_new_tip(lab, remote):
    one = lab(ORCHESTRATOR_CONFLICT_POLICY="rebase")
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    one.work(agent_id)
    tip = advance(remote, other__py="OTHER = 1\n")
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert git("rev-parse", f"{agent.commit}^", cwd=remote) == tip
    assert git("rev-parse", f"{agent.commit}^{{tree}}", cwd=remote) == agent.verdict.tree
    assert {report.tree for report in one.store.run(changes.read_reports(agent_id))} > {
        agent.verdict.tree
    }


def test_under_rebase_what_fails_on_the_new_tip_is_not_pushed(lab, remote):
    """Each alone is fine; together they are not, and only a look at both together tells."""
    one = lab(ORCHESTRATOR_CONFLICT_POLICY="rebase")
    agent_id = one.spawn(remote, write("calc2.py", "from calc import add\n"), maxRetries=0)
    one.work(agent_id)
    test = (
        "import unittest, pathlib\n\nclass TestNone(unittest.TestCase):\n"
        "    def test_none(self):\n"
        "        self.assertFalse(pathlib.Path('calc2.py').exists())\n"
    )
    advance(remote, test_none__py=test)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "gates_rejected")
    assert branches(remote) == {"main"}


@pytest.mark.parametrize("policy", ["rebase", "reject"])
def test_a_conflict_that_may_not_be_pushed_fails_and_is_kept(lab, remote, policy):
    one = lab(ORCHESTRATOR_CONFLICT_POLICY=policy)
    agent_id = one.spawn(remote, write("calc.py", "def add(a, b):\n    return b + a\n"))
    one.work(agent_id)
    advance(remote, calc__py="def add(a, b):\n    return sum((a, b))\n")
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "change_conflicts")
    assert "calc.py (contents)" in agent.error
    one.services.cleanup.run(agent_id)
    assert one.store.follow(changes.newest_change(agent_id, agent.attempt))[0] == 1
    assert branches(remote) == {"main"}


def test_a_target_that_is_deleted_meanwhile_is_told_and_the_work_is_kept(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    one.work(agent_id)
    git("update-ref", "-d", "refs/heads/main", cwd=remote)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.error_code) == (Status.FAILED, "branch_unknown")
    one.services.cleanup.run(agent_id)
    one.store.follow(changes.newest_change(agent_id, agent.attempt))


# ── the push ────────────────────────────────────────────────────────────────────────────────


def test_a_refused_push_is_not_tried_again(lab, remote, tmp_path):
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\nexit 1\n")
    hook.chmod(0o755)
    agent = lab().play(remote, write("new.py", "NEW = 1\n"))
    assert (agent.status, agent.error_code) == (Status.FAILED, "push_refused")
    assert (tmp_path / "asked").read_text() == "x\n"


def test_what_an_older_attempt_pushed_after_its_end_gives_way(lab, remote):
    """A worker that slept through its lease may still push: its commit is known, and replaced."""
    one = lab()
    agent_id = one.spawn(remote, write("new.py", "NEW = 1\n"))
    agent = one.work(agent_id)
    stale = git("commit-tree", "main^{tree}", "-p", "main", "-m", "stale", cwd=remote)
    one.services.runner.holder.update(agent, {"pushing": stale})
    git("update-ref", f"refs/heads/agent/{agent_id}", stale, cwd=remote)
    ended = one.evaluate(agent_id)
    assert ended.status is Status.COMPLETED, ended.error
    assert git("rev-parse", f"agent/{agent_id}", cwd=remote) == ended.commit != stale


def test_kept_work_stands_nowhere_but_here(lab, remote):
    one = lab(ORCHESTRATOR_DELIVERY="keep")
    agent = one.play(remote, write("new.py", "NEW = 1\n"))
    assert (agent.status, agent.branch) == (Status.COMPLETED, None)
    assert agent.commit
    one.services.cleanup.run(agent.agent_id)
    one.store.follow(changes.newest_change(agent.agent_id, agent.attempt))
    assert branches(remote) == {"main"}


def test_branches_go_to_another_remote_if_one_is_named(lab, remote, tmp_path):
    forks = tmp_path / "forks"
    git("clone", "-q", "--bare", str(remote), str(forks / "remote.git"), cwd=tmp_path)
    one = lab(ORCHESTRATOR_PUSH_URL=f"{forks}/{{name}}.git")
    agent = one.play(remote, write("new.py", "NEW = 1\n"))
    assert agent.status is Status.COMPLETED, agent.error
    assert branches(remote) == {"main"}
    assert agent.branch in branches(forks / "remote.git")
    assert "+NEW = 1" in orch(one, "diff", agent.agent_id, cwd=tmp_path).stdout


def test_over_http_with_a_token_nothing_but_the_server_ever_sees_it(lab, remote, tmp_path):
    """Two failures of the network on the way; the token is in no file, state, log or event."""
    token = secrets.token_hex(20)
    git("config", "http.receivepack", "true", cwd=remote)
    with git_server(remote.parent, login=f"x-access-token:{token}") as server:
        one = lab(GIT_TOKEN=token, GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}")
        address = f"{server.url}/remote.git"
        look = "env > seen-env; cat /proc/[0-9]*/cmdline > seen || true"
        agent_id = one.spawn(address, {"run": look})
        one.work(agent_id)
        server.fail_pushes = 2
        agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert agent.branch in branches(remote)
    assert server.fail_pushes == 0
    held = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in held if token.encode() in path.read_bytes()] == []
    connection = redis.Redis.from_url(one.settings.valkey_url)
    kept = b"".join(connection.dump(key) for key in connection.scan_iter())
    assert token.encode() not in kept
    for name in ("seen-env", "seen"):
        seen = subprocess.run(
            ["git", "show", f"{agent.commit}:{name}"], cwd=remote, capture_output=True, check=True
        )
        assert seen.stdout
        assert token.encode() not in seen.stdout


# ── the workspace ───────────────────────────────────────────────────────────────────────────


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
    log = [line.text for line in one.store.run(read_log(agent.agent_id)) if line.source == "hook"]
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
    left = json.dumps({"files": ["calc.py", "elsewhere"], "told": {}})
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


# ── going on ────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_that_lost_its_worker_is_gone_on_with_from_its_checkpoint(lab, remote):
    """The worker dies without a word; what stood at its last checkpoint is there again."""
    one = lab(ORCHESTRATOR_CHECKPOINT="200ms")
    agent_id = one.spawn(
        remote,
        {"run": "[ -e begun ] || { echo 1 > begun; exec sleep 600; }"},
        {"run": "echo 2 > done"},
    )
    worker = threading.Thread(target=one.work, args=(agent_id,))
    worker.start()
    eventually(lambda: one.store.run(changes.has_change(agent_id, 1)))
    holder = one.services.runner.holder
    # As the sweep does once the lease has ended.
    step = agent_transitions.recover(
        one.state(agent_id), continues=1, counts=True, delay_s=0, now=holder.clock(), tag="t"
    )
    one.store.run(step)
    worker.join()
    assert one.state(agent_id).phase == "awaiting-rework"
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert (agent.status, agent.recoveries) == (Status.COMPLETED, 1), agent.error
    assert git("show", f"{agent.commit}:begun", cwd=remote) == "1"
    assert git("show", f"{agent.commit}:done", cwd=remote) == "2"


def test_a_worker_that_stops_hands_its_agent_on_with_all_it_had_done(lab, remote):
    one = lab()
    step = {"run": "[ -e begun ] || { echo 1 > begun; exec sleep 600; }"}
    agent_id = one.spawn(remote, step)
    worker = threading.Thread(target=one.work, args=(agent_id,))
    worker.start()
    begun = one.settings.workspaces_dir / agent_id / "tree" / "begun"
    eventually(begun.exists)
    one.services.runner.holder.stop()
    worker.join()
    handed = one.state(agent_id)
    assert (handed.phase, handed.recoveries, handed.continues_attempt) == ("awaiting-rework", 0, 1)
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error


def test_an_agent_that_is_stuck_is_told_and_one_that_computes_is_not(lab, remote):
    one = lab(ORCHESTRATOR_STALL="2s")
    busy = one.play(
        remote,
        {"run": "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo > x"},
    )
    assert busy.status is Status.COMPLETED, busy.error
    stuck = one.play(remote, {"run": "sleep 5; echo > x"})
    assert stuck.status is Status.COMPLETED, stuck.error
    reported = [
        (entry.event.type, entry.event.agent_id)
        for entry in one.store.run(read_events(after="0-0"))
        if entry.event.type in ("agent.stalled", "agent.active")
    ]
    assert reported[:1] == [("agent.stalled", stuck.agent_id)]


@pytest.mark.parametrize(("policy", "recoveries"), [("fail", 0), ("restart", 1)])
def test_a_stall_ends_as_the_policy_says(lab, remote, policy, recoveries):
    one = lab(ORCHESTRATOR_STALL="1s", ORCHESTRATOR_STALL_POLICY=policy)
    agent_id = one.spawn(remote, {"run": "echo 1 > begun; sleep 600"})
    agent = one.work(agent_id)
    assert agent.recoveries == recoveries
    if policy == "fail":
        assert (agent.status, agent.error_code) == (Status.FAILED, "agent_stalled")
    else:
        assert (agent.phase, agent.continues_attempt) == ("awaiting-rework", 1)


# ── work that did not leave ─────────────────────────────────────────────────────────────────


def orch(one: Lab, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=one.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


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
