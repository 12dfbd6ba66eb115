"""A change with a secret is never pushed."""

from __future__ import annotations

import redis

from orchestrator.models import Status
from orchestrator.store import changes
from orchestrator.store.agent_logs import read_log
from tests.integration.conftest import git
from tests.integration.delivery.lab import branches, secret, write


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
    log = " ".join(line.text for line in one.store.follow(read_log(agent.agent_id)))
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
