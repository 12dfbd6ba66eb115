"""Each real agent program, in bubblewrap behind the egress proxy; only its provider is a double."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.models import AgentState, KillScope, Status
from orchestrator.store.agent_logs import read_log
from orchestrator.store.budget import publish
from orchestrator.store.kills import KillOrder
from orchestrator.store.provider_limits import read_limits
from orchestrator.wiring import kill_switch
from tests.doubles.messages_api import Hang, Refusal, Request
from tests.integration.agents.clients import CLIENTS, KEY, SOME, Client, params
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import Lab
from tests.processes import Observer, eventually, marked

WRONG = "printf 'def add(a, b):\\n    return a - b\\n' > calc.py"
RIGHT = "printf 'def add(a, b):\\n    return b + a\\n' > calc.py"


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str) -> Iterator[Any]:
    """Make a lab whose agents reach nothing but the double of their provider."""

    def make(client: Client, url: str, **more: str) -> Lab:
        return Lab(
            tmp_path,
            valkey_url,
            ORCHESTRATOR_AGENT=client.backend,
            ORCHESTRATOR_SANDBOX_NETWORK="proxy",
            **client.settings(url),
            **more,
        )

    return make


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


def log_of(lab: Lab, agent: AgentState) -> list[tuple[str, str]]:
    return [(line.source, line.text) for line in lab.store.follow(read_log(agent.agent_id))]


def text_of(request: Request) -> str:
    return json.dumps(request.body)


@pytest.mark.parametrize("client", params(CLIENTS))
def test_a_rejected_change_is_mended_in_the_same_session_and_pushed(client, lab, remote):
    """Usage counts once for a message; the key is seen by the provider alone."""
    turns = [
        *client.turns(WRONG, words="The first try."),
        *client.turns(RIGHT, words="Add in the other order."),
    ]
    with client.double(turns, key=KEY) as api:
        one = lab(client, api.url)
        agent = one.play(remote, {"say": "Change add()."})
        log = log_of(one, agent)

    assert agent.status is Status.COMPLETED, (agent.error, log)
    assert agent.sandbox == "bubblewrap"
    assert git("show", f"{agent.commit}:calc.py", cwd=remote).endswith("return b + a")
    subject = git("log", "-1", "--format=%s", agent.commit, cwd=remote)
    assert subject == "Add in the other order."

    assert len(api.main_requests) == len(turns)
    resumed = text_of(api.main_requests[2])
    assert "The first try." in resumed
    assert "test_add" in resumed, "the finding of the gate"
    assert agent.usage.output_tokens - (20 + 10) * 2 in (0, side_tokens(api))
    name, prefix = client.key_header
    assert {request.headers[name] for request in api.main_requests} == {prefix + KEY}
    assert not any(KEY in text for _, text in log)
    assert not any("its proxy saw" in text for _, text in log), log
    assert KEY not in agent.model_dump_json()


def side_tokens(api: Any) -> int:
    """The output of requests without tools, such as titles; the double gives each one token."""
    return sum(not request.body.get("tools") for request in api.requests if request.body)


@pytest.mark.parametrize("client", params(SOME))
def test_a_limit_of_the_provider_makes_the_agent_wait(client, lab, remote):
    with client.double([Refusal(429)], key=KEY) as api:
        one = lab(client, api.url)
        agent = one.work(one.spawn(remote, {"say": "Change add()."}))
        log = log_of(one, agent)
    assert agent.status in (Status.SPAWNING, Status.RUNNING), (agent.error, log)
    assert one.store.run(read_limits()).keys() == {client.backend}, log
    assert agent.recoveries == 0


@pytest.mark.parametrize("client", params(SOME))
def test_a_killed_agent_is_gone_in_mid_turn(client, lab, remote):
    begun, seen = threading.Event(), Observer()
    with client.double([Hang(begun)], key=KEY) as api:
        one = lab(client, api.url)
        agent_id = one.spawn(remote, {"say": "Change add()."})
        working = threading.Thread(target=one.work, args=(agent_id,))
        working.start()
        try:
            assert begun.wait(60)
            seen.record(*marked(agent_id))
            assert seen.alive()
            switch = kill_switch(one.settings)
            one.store.follow(switch.kill_all(KillScope(), KillOrder("ann", "enough")))
            working.join(60)
            eventually(lambda: not seen.alive(), within_s=30)
        finally:
            seen.end()
    assert one.state(agent_id).status is Status.KILLED


@pytest.mark.parametrize("client", params(SOME))
def test_a_spent_budget_ends_the_agent_in_mid_turn(client, lab, remote):
    """The response that crosses the limit is the last one, though its command still runs."""
    crosses = client.turns("sleep 600", words="Never said.", output_tokens=200_000)
    with client.double(crosses, key=KEY) as api:
        one = lab(client, api.url, BUDGET_PER_AGENT_TOKENS="100000")
        one.store.run(publish(one.settings))
        agent = one.work(one.spawn(remote, {"say": "Change add()."}))
    assert agent.status is Status.FAILED
    assert agent.error_code == "budget_exceeded", (agent.error, agent.usage, log_of(one, agent))
    assert len(api.main_requests) == 1
    assert agent.usage.output_tokens >= 200_000
