"""The real Claude Code and its gates, in network namespaces of their own: out through the proxy."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from orchestrator.backends.command import CommandBackend, Options
from orchestrator.egress.proxies import EgressProxies
from orchestrator.interfaces.agent import AgentJob, Launch
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox, SandboxProcess
from orchestrator.models import GateStatus, Status
from orchestrator.store import changes
from orchestrator.store.agent_logs import read_log
from orchestrator.wiring import host as wiring_host
from tests.doubles.messages_api import MessagesApi, Request, Text, ToolCall, Turn
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab, branches
from tests.integration.egress.conftest import ASKED
from tests.integration.egress.drip import STARTED, Drip
from tests.processes import eventually

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("claude_agent_sdk") is None,
    reason="needs the extra `claude`, whose wheel brings the binary",
)
KEY = "sk-seen-by-the-double-alone"
#: Where programs have no network of their own, by the level that says so.
CONFINED = {
    "bubblewrap": {"ORCHESTRATOR_SANDBOX_NETWORK": "proxy"},
    "docker": {"SANDBOX_ENABLED": "true"},
}
#: Run by Claude Code's Bash. The brackets keep the pattern from finding itself.
LOOK = r"""
for kind in environ cmdline; do cat /proc/[0-9]*/$kind; done 2>/dev/null | tr '\0' '\n' >all
echo "key seen: $(cat all | grep -ac 'sk-seen-b[y]') $(grep -ral 'sk-seen-b[y]' "$HOME" . | wc -l)"
echo "placeholder seen: $(env | grep -c '^ANTHROPIC_API_KEY=placeholder-')"
echo "elsewhere: $(python3 reach.py elsewhere.example 443 2>&1 | tail -1)"
echo "direct: $( (exec 3<>/dev/tcp/VALKEY) 2>all && echo reached || echo no way)"
rm all
"""


#: Gets a page through the proxy that its environment names.
REACH = """
import http.client, os, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["https_proxy"])
connection = http.client.HTTPConnection(proxy.hostname, proxy.port)
connection.set_tunnel(sys.argv[1], int(sys.argv[2]))
connection.request("GET", "/")
assert connection.getresponse().read() == b"a package"
"""


class Noted:
    """A sandbox, what was to be started in it, and what was."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.level = sandbox.level
        self.specs: list[ProcessSpec] = []
        self.processes: list[SandboxProcess] = []

    def check(self) -> str:
        return self._sandbox.check()

    def image(self) -> str:
        return self._sandbox.image()

    @contextmanager
    def start(self, spec: ProcessSpec) -> Iterator[SandboxProcess]:
        assert not spec.has_network
        self.specs.append(spec)
        with self._sandbox.start(spec) as process:
            self.processes.append(process)
            yield process


@pytest.fixture
def packages() -> Iterator[int]:
    """A host of packages, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a package")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def confined(lab: Lab) -> Noted:
    """Take note of all that this lab runs, and let its gates reach a host of packages here."""

    async def resolve(_: str):
        return [ip_address("127.0.0.1")]

    sandbox = Noted(wiring_host.sandbox(lab.settings))
    egress = EgressProxies(
        lab.settings, lambda: "id", resolve=resolve, is_public=lambda address: address.is_loopback
    )
    runner, gates = lab.services.runner, lab.services.gate_check
    executor = replace(runner.executor, sandbox=sandbox, egress=egress)
    capture = replace(runner.capture, sandbox=sandbox)
    gate_runner = replace(gates.gate_runner, sandbox=sandbox, egress=egress)
    lab.use(
        runner=replace(runner, executor=executor, capture=capture),
        gate_check=replace(gates, gate_runner=gate_runner),
    )
    return sandbox


@pytest.fixture
def turns(valkey_url):
    address = valkey_url.removeprefix("redis://").partition("/")[0].replace(":", "/")

    def write(request: Request) -> Turn:
        worktree = re.search(r"(/[^\s\"\\]+/workspaces/[^/\s]+/tree)", json.dumps(request.body))
        content = SAMPLE["calc.py"] + "\n\ndef double(a):\n    return add(a, a)\n"
        path = f"{worktree[1]}/calc.py"
        return Turn(
            (ToolCall("Read", {"file_path": path}),
             ToolCall("Write", {"file_path": path, "content": content})), 70,
        )  # fmt: skip

    look = {"command": LOOK.replace("VALKEY", address), "description": "Look"}
    approve = {"approved": True, "confidence": 0.97}
    return [
        write,
        Turn((ToolCall("Bash", look),), 20),
        Turn((Text("Add double()."),), 10),
        Turn((ToolCall("StructuredOutput", approve),), 5),
    ]


def tool_results(request: Request) -> str:
    """What the tools had said when this request was made."""
    blocks = [block for message in request.body["messages"] for block in message["content"]]
    return "\n".join(
        str(block["content"])
        for block in blocks
        if isinstance(block, dict) and block["type"] == "tool_result"
    )


@pytest.mark.parametrize("level", CONFINED)
def test_claude_code_works_through_the_proxy_alone_and_so_do_its_gates(
    tmp_path, valkey_url, turns, packages, level
):
    """The key is nowhere inside; other hosts are refused, counted and told."""
    fetch = f"python3 reach.py packages.example {packages}"
    gates = (
        "[tool.orchestrator.gates]\n"
        f"lint = '! {fetch} && test -z \"$https_proxy\" && test $(wc -l </proc/net/dev) = 3'\n"
        f"tests = {{command = '{fetch} && python3 -m unittest -q', network = true}}\n"
    )
    remote = make_remote(tmp_path, {**SAMPLE, "pyproject.toml": gates, "reach.py": REACH})
    with MessagesApi(turns, key=KEY) as api:
        lab = Lab(
            tmp_path,
            valkey_url,
            ORCHESTRATOR_AGENT="claude",
            **CONFINED[level],
            ORCHESTRATOR_EGRESS_HOSTS=f"packages.example:{packages}",
            CLAUDE_API_KEY=KEY,
            ANTHROPIC_BASE_URL=api.url,
        )
        sandbox = confined(lab)
        assert sandbox.level == level
        asked = {"gateProfile": "custom", "gates": ["lint", "tests", "ai-review"]}
        agent = lab.play(remote, {"say": "Add double()."}, **asked)

    reports = lab.store.run(changes.read_reports(agent.agent_id))
    assert agent.status is Status.COMPLETED, (agent.error, reports)
    assert agent.branch in branches(remote)
    statuses = {gate.name: gate.status for report in reports for gate in report.gates}
    assert statuses == dict.fromkeys(("lint", "tests", "ai-review"), GateStatus.PASSED), reports

    # The provider saw the real key and nobody's placeholder; inside it was the other way round.
    assert {request.headers["x-api-key"] for request in api.main_requests} == {KEY}
    said = tool_results(api.main_requests[2])
    for line in (
        "key seen: 0 0", "placeholder seen: 1", "Tunnel connection failed: 403", "direct: no way"
    ):  # fmt: skip
        assert line in said
    assert KEY not in repr(sandbox.specs)
    # Who captures the change, with git on the agent's files, reaches nothing at all.
    assert sum(spec.egress is not None for spec in sandbox.specs) == len(
        ("agent", "tests", "review")
    )

    assert agent.egress.refused == 1
    assert agent.egress.allowed >= 3
    assert agent.usage.output_tokens == 100 + 5, "its own, and its reviewer's"
    log = [
        line.text for line in lab.store.follow(read_log(agent.agent_id)) if line.source == "egress"
    ]
    assert "egress: elsewhere.example:443 is not one of the allowed hosts" in log
    assert not any("tokens" in line for line in log), log
    assert list((tmp_path / "host" / "egress" / socket.gethostname()).iterdir()) == []


class Leaver(CommandBackend):
    """An agent that asks its model, and is gone when the answer begins."""

    def launch(self, job: AgentJob) -> Launch:
        ask = (
            "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8118);"
            f"c.request('POST', '/v1/messages', {json.dumps(ASKED)!r},"
            f" {{'x-api-key': {job.model.key!r}}}); c.getresponse()"
        )
        return Launch(("/usr/bin/python3", "-c", ask))


def test_what_an_agent_asked_before_it_ended_is_spent_when_it_is_judged(tmp_path, valkey_url):
    remote = make_remote(tmp_path, SAMPLE)
    with closing(Drip()) as drip:
        lab = Lab(
            tmp_path,
            valkey_url,
            **CONFINED["bubblewrap"],
            CLAUDE_API_KEY=KEY,
            ANTHROPIC_BASE_URL=drip.url,
        )
        sandbox = confined(lab)
        lab.use(Leaver(Options(), path=None))

        def answer() -> None:
            drip.accept()
            drip.begin()
            drip.say(STARTED)
            eventually(lambda: sandbox.processes[0].exit_code is not None)
            spent = {"input_tokens": 5, "output_tokens": 20_000}
            drip.say({"type": "message_delta", "usage": spent})
            drip.end()

        answering = threading.Thread(target=answer)
        answering.start()
        agent = lab.work(lab.spawn(remote))
        answering.join()
    assert agent.usage.total_tokens == 20_005, agent.error
