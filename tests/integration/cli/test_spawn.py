"""`orch spawn` prints an id once the agent is durable."""

from __future__ import annotations

import pytest

from orchestrator.store import agents
from tests.integration.cli.conftest import REQUEST


def test_spawn_prints_the_id_alone_once_the_agent_is_durable(orch, store):
    done = orch.run("spawn", *REQUEST)
    agent = store.run(agents.read(done.stdout.strip()))
    assert done.stdout == f"{agent.agent_id}\n"
    assert agent.agent_id in done.stderr
    document = orch.json("spawn", *REQUEST)
    assert document == {"agentId": document["agentId"], "status": "spawning"}


def test_every_option_reaches_the_request(orch, store):
    agent_id = orch.spawn(
        *("--item", "and a test", "--type", "tester", "--skill", "python", "--task", "T 1"),
        *("--gate-profile", "custom", "--gate", "tests", "--priority", "9", "--max-retries", "0"),
    )
    assert store.run(agents.read_request(agent_id)).wire() == {
        "taskId": "T 1",
        "agentType": "tester",
        "gateProfile": "custom",
        "gates": ["tests"],
        "priority": 9,
        "maxRetries": 0,
        "context": {
            "repository": "/srv/repo.git",
            "branch": "main",
            "workItems": ["add a function", "and a test"],
            "skills": ["python"],
        },
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (".", "{cwd}"),
        ("sub/../x.git", "{cwd}/x.git"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("https://host/x.git", "https://host/x.git"),
    ],
)
def test_a_local_repository_is_made_absolute(orch, store, given, stored):
    for folder in ("sub", "x.git"):
        (orch.cwd / folder).mkdir()
    done = orch.run("spawn", "--repo", given, *REQUEST[2:])
    agent = store.run(agents.read(done.stdout.strip()))
    assert agent.repository == stored.format(cwd=orch.cwd)


def test_every_fault_of_a_request_has_its_line(orch):
    done = orch.run("spawn", "--repo", "ext::sh", "--branch", "-x", *REQUEST[4:], code=2)
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "context.repository",
        "context.branch",
    ]
    assert done.stdout == ""


def test_an_idempotency_key_names_one_agent(orch):
    key = ("--idempotency-key", "k", "--task", "t")
    assert orch.spawn(*key) == orch.spawn(*key)
    done = orch.run("spawn", *REQUEST, *key, "--priority", "9", code=2)
    assert "Idempotency-Key" in done.stderr
