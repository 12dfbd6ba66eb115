"""What happens to an agent of any program: it is mended, limited, killed, or spends its budget.

Each is played with the real program in the sandbox of the lab; only the provider is a double.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.models import AgentState, KillScope, Status
from orchestrator.store.agent_logs import read_log
from orchestrator.store.budget import publish
from orchestrator.store.kills import KillOrder
from orchestrator.store.provider_limits import read_limits
from orchestrator.wiring import kill_switch
from tests.doubles.messages_api import Hang, Refusal, Request
from tests.integration.agents.clients import KEY, Client
from tests.integration.conftest import git
from tests.integration.delivery.lab import Lab
from tests.processes import Observer, eventually, marked

WRONG = "printf 'def add(a, b):\\n    return a - b\\n' > calc.py"
RIGHT = "printf 'def add(a, b):\\n    return b + a\\n' > calc.py"
#: Makes a lab for a client, the address of its double, and further settings.
MakeLab = Callable[..., Lab]


def log_of(lab: Lab, agent: AgentState) -> list[tuple[str, str]]:
    return [(line.source, line.text) for line in lab.store.follow(read_log(agent.agent_id))]


def text_of(request: Request) -> str:
    return json.dumps(request.body)


def mended(client: Client, lab: MakeLab, remote: Path, sandbox: str) -> None:
    """A rejected change is mended in the same session and pushed.

    Usage counts once for a message; the key is seen by the provider alone.
    """
    turns = [
        *client.turns(WRONG, words="The first try."),
        *client.turns(RIGHT, words="Add in the other order."),
    ]
    with client.double(turns, key=KEY) as api:
        one = lab(client, api.url)
        agent = one.play(remote, {"say": "Change add()."})
        log = log_of(one, agent)

    assert agent.status is Status.COMPLETED, (agent.error, log)
    assert agent.sandbox == sandbox
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


def limited(client: Client, lab: MakeLab, remote: Path, sandbox: str) -> None:
    """A limit of the provider makes the agent wait."""
    with client.double([Refusal(429)], key=KEY) as api:
        one = lab(client, api.url)
        agent = one.work(one.spawn(remote, {"say": "Change add()."}))
        log = log_of(one, agent)
    assert agent.status in (Status.SPAWNING, Status.RUNNING), (agent.error, log)
    assert one.store.run(read_limits()).keys() == {client.backend}, log
    assert agent.recoveries == 0
    assert agent.sandbox == sandbox


def killed(client: Client, lab: MakeLab, remote: Path, sandbox: str) -> None:
    """A killed agent is gone in mid-turn."""
    begun, seen = threading.Event(), Observer()
    with client.double([Hang(begun)], key=KEY) as api:
        one = lab(client, api.url)
        agent_id = one.spawn(remote, {"say": "Change add()."})
        working = threading.Thread(target=one.work, args=(agent_id,))
        working.start()
        try:
            assert begun.wait(240)
            seen.record(*marked(agent_id))
            assert seen.alive()
            switch = kill_switch(one.settings)
            one.store.follow(switch.kill_all(KillScope(), KillOrder("ann", "enough")))
            working.join(60)
            eventually(lambda: not seen.alive())
        finally:
            seen.end()
    agent = one.state(agent_id)
    assert (agent.status, agent.sandbox) == (Status.KILLED, sandbox)


def spent(client: Client, lab: MakeLab, remote: Path, sandbox: str) -> None:
    """A spent budget ends the agent in mid-turn.

    The response that crosses the limit is the last one, though its command still runs.
    """
    crosses = client.turns("sleep 600", words="Never said.", output_tokens=200_000)
    with client.double(crosses, key=KEY) as api:
        one = lab(client, api.url, BUDGET_PER_AGENT_TOKENS="100000")
        one.store.run(publish(one.settings))
        agent = one.work(one.spawn(remote, {"say": "Change add()."}))
    assert (agent.status, agent.sandbox) == (Status.FAILED, sandbox)
    assert agent.error_code == "budget_exceeded", (agent.error, agent.usage, log_of(one, agent))
    assert len(api.main_requests) == 1
    assert agent.usage.output_tokens >= 200_000
