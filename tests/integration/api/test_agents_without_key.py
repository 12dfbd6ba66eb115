"""Without an API key, the API on loopback answers everybody of the host but agents."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.faults.conftest import Fleet
from tests.integration.conftest import SAMPLE, make_remote, running
from tests.processes import eventually
from tests.sandbox.levels import LEVELS, sandbox_at

#: Asks the API in several ways, and prints the status of each answer.
ASKS = r"""
import os, socket, sys, time, urllib.error, urllib.request

port = int(sys.argv[1])

def ask(method, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, data=b"")
    try:
        return urllib.request.urlopen(request, timeout=120).status
    except urllib.error.HTTPError as refused:
        return refused.code

def say(way, answer):
    print(f"{way}={answer}", flush=True)

def connected():
    return socket.create_connection(("127.0.0.1", port))

KILL = b"POST /agents/kill-all HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
say("read", ask("GET", "/agents"))
say("kill", ask("POST", "/agents/kill-all"))
say("halt", ask("POST", "/halt"))
say("health", ask("GET", "/health"))
# A daemon whose parent has ended.
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(ask("POST", "/agents/kill-all")).encode())
    os._exit(0)
os.wait()
say("daemon", os.read(read, 10).decode())
# The process that asked has ended, and its child holds the connection.
one = connected()
if os.fork() == 0:
    if os.fork() == 0:
        one.sendall(KILL)
        say("inherited", one.recv(100).split()[1].decode())
    os._exit(0)
one.close()
os.wait()
time.sleep(1)
# Nobody waits for the answer.
one = connected()
one.sendall(KILL)
one.close()
say("last", ask("GET", "/budget"))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_no_process_of_an_agent_is_answered(level: str, tmp_path: Path) -> None:
    level = sandbox_at(level, tmp_path).level
    remote = make_remote(tmp_path, SAMPLE | {"ask.py": ASKS})
    with running(
        tmp_path / "home", ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_PROCESS_LEVEL=level
    ) as system:
        fleet = Fleet(system)
        port = system.env["ORCHESTRATOR_PORT"]
        agent_id = fleet.spawn(
            remote, {"run": f"{os.path.realpath('/usr/bin/python3')} -I ask.py {port}"},
            {"hang": True},
        )  # fmt: skip

        def said() -> dict[str, str]:
            _, page = fleet.call("GET", f"/agents/{agent_id}/logs")
            lines = [line["text"] for line in page["lines"]]
            return dict(line.split("=") for line in lines if line.count("=") == 1)

        eventually(lambda: "last" in said())
        refused = dict.fromkeys(("read", "kill", "halt", "daemon", "inherited", "last"), "401")
        assert said() == {**refused, "health": "200"}
        # The operator is answered meanwhile, and nothing of the agent's was done.
        status, page = fleet.call("GET", "/agents")
        assert status == 200
        assert [one["status"] for one in page["agents"]] == ["running"]
        assert json.loads(system.orch("kill", agent_id, "--json").stdout)["message"]
        assert fleet.call("POST", "/agents/kill-all")[0] == 200
