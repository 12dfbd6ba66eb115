"""A command that reads or kills loads neither the stages nor the libraries they stand on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing
from tests.integration.api.conftest import serving, spawn

HEAVY = {
    *("git", "docker", "celery", "kombu", "requests", "tenacity", "httpx", "starlette", "uvicorn"),
    *("orchestrator.stages", "orchestrator.workspace", "orchestrator.egress"),
    *("orchestrator.gates", "orchestrator.sandboxes", "orchestrator.maintenance"),
    *("orchestrator.leases", "orchestrator.secretscan", "orchestrator.forges"),
    *("orchestrator.api", "workers"),
    *("structlog", "rich.console", "opentelemetry.sdk", "opentelemetry.sdk.metrics", "psutil"),
    *("redis", "asyncio", "ssl", "pydantic_settings"),
}
RUN = """
import json, sys
from orchestrator.cli import main
code = main(sys.argv[1:], standalone_mode=False)
sys.stderr.write("\\nLOADED" + json.dumps([code, sorted(sys.modules)]))
"""
#: The API and the command write to one audit, which they seal with one key.
SIGNED = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
VERBS = [
    ["ls"], ["ls", "--attention"], ["status", "ID"], ["logs", "ID"], ["budget"], ["queues"],
    ["events"], ["why", "ID"], ["inspect", "ID"], ["gates", "ID"], ["kill-all", "--yes"],
    ["kill", "ID"], ["receipt", "ID"], ["ack", "ID"], ["top"],
    ["wait", "ID", "--timeout", "100ms"], ["audit"],
    ["recap"],
]  # fmt: skip


@pytest.fixture(scope="module")
def agent_of(valkey_server):
    """Spawn an agent on a Valkey that stays, and has no key of an earlier test."""
    store = Store(valkey_server)
    store.run(command("FLUSHALL", decode=nothing))
    store.close()
    with serving(valkey_server, ORCHESTRATOR_SPAWN_RATE="0", **SIGNED) as (client, _):
        yield lambda: spawn(client)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_loads_only_what_it_needs(verb, agent_of, valkey_server, tmp_path):
    agent_id = agent_of()
    ran = subprocess.run(
        [sys.executable, "-c", RUN, *(word.replace("ID", agent_id) for word in verb)],
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VALKEY_URL": valkey_server,
            "ORCHESTRATOR_HOME": str(tmp_path / "home"), **SIGNED,
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "LOADED" in ran.stderr, ran.stderr
    _, loaded = json.loads(ran.stderr.partition("LOADED")[2])
    assert "orchestrator.store.client" in loaded
    assert HEAVY & set(loaded) == set(), ran.stderr.partition("LOADED")[0]
