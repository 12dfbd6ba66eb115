"""Every command with `--api`: it works, needs no system, or says in a line that it needs a host."""

from __future__ import annotations

import http.server
import json
import socket
import threading

import pytest
from click.testing import CliRunner

from orchestrator.cli import _COMMANDS, _OF_THIS_HOST, main
from orchestrator.cli.output.exit_codes import Exit
from tests.conftest import free_port
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import spawn

AWAY = f"http://127.0.0.1:{free_port()}"
#: Commands of a checkout or of the shell; they ask no system.
LOCAL = {"init", "scan", "config", "completion", "context"}
#: Command → arguments that an API serves; ID is an agent that waits.
SERVED = {
    "models": [], "ls": [], "status": ["ID"], "why": ["ID"], "top": [], "recap": [],
    "inspect": ["ID"],
    "logs": ["ID"], "events": [], "gates": ["ID"], "queues": [], "budget": [], "halt": [],
    "resume": ["--reason", "x"], "audit": [], "fsck": [], "kill-all": ["--yes", "--task", "none"],
    "spawn": ["--repo", "/srv/x", "--branch", "m", "--item", "x", "--agent", "scripted"],
}  # fmt: skip
#: Served too, and refused for an agent that waits: (arguments, the code of the refusal).
REFUSED = {
    "diff": (["ID"], "change_missing"),
    "export": (["ID"], "change_missing"),
    "retry": (["ID"], "transition_refused"),
    "receipt": (["ID"], "not_found"),
    "ack": (["ID"], "transition_refused"),
    "kill": (["nobody-here"], "not_found"),
    "wait": (["ID", "--timeout", "100ms"], "wait_timed_out"),
}


def run(api, *arguments):
    return CliRunner().invoke(main, ["--api", api, *arguments], prog_name="orch")


@pytest.fixture
def api(store, valkey_url, monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with serving(valkey_url) as (client, _):
        yield str(client.base_url)


def test_each_command_is_in_one_of_the_tables():
    assert {*LOCAL, *SERVED, *REFUSED, *_OF_THIS_HOST} == set(_COMMANDS)


def test_an_api_serves_every_command_that_needs_no_host(api, store):
    agent_id = spawn(store)
    for verb, given in SERVED.items():
        ran = run(api, verb, *(agent_id if one == "ID" else one for one in given))
        assert ran.exit_code == 0, (verb, ran.output)
    for verb, (given, code) in REFUSED.items():
        ran = run(api, verb, *(agent_id if one == "ID" else one for one in given))
        assert f"[{code}]" in ran.stderr, (verb, ran.output)


@pytest.mark.parametrize(
    "given",
    [
        *([name] for name in sorted(_OF_THIS_HOST - {"run", "healthy", "worker", "keys"})),
        ["run", "api"], ["healthy", "api"], ["worker", "spawn"], ["keys", "ls"],
        ["keys", "add", "--name", "x", "--scope", "read"], ["keys", "revoke", "x"],
        ["audit", "--verify"], ["fsck", "--fix"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_needs_a_host_says_so_in_one_line(given, monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    ran = run(AWAY, *given)
    assert (ran.exit_code, ran.stdout) == (Exit.USAGE, ""), ran.output
    assert ran.stderr.count("\n") == 1
    assert "Run it on a host of the system" in ran.stderr
    assert ran.stderr.endswith("[api_lacks]\n")
    if given[0] in {"up", "doctor", "keys", "env"}:
        assert json.loads(run(AWAY, *given, "--json").stderr)["errorCode"] == "api_lacks"


def test_a_name_of_an_agent_from_a_server_names_no_file(monkeypatch, tmp_path):
    """A server that answers with another id must not choose where a file is written."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"agentId": "../../evil", "status": "failed"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    desk = tmp_path / "deep" / "desk"
    desk.mkdir(parents=True)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ran = run(f"http://127.0.0.1:{server.server_port}", "export", "abcdef")
        server.shutdown()
    assert ran.exit_code != 0
    assert not [*tmp_path.glob("**/*.bundle")]


@pytest.mark.parametrize(
    "given", [["ls"], ["halt", "--reason", "x"], ["diff", "a" * 32]], ids=lambda given: given[0]
)
def test_a_wait_for_the_api_is_told_and_ends_with_the_timeout(given, monkeypatch, tmp_path):
    """A stopped process of the API accepts connections and answers nothing."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Long before any limit of its own, an answer would come: it is no API's.
        closing = threading.Timer(20, silent.shutdown, [socket.SHUT_RDWR])
        closing.start()
        ran = run(f"http://127.0.0.1:{silent.getsockname()[1]}", *given, "--timeout", "1500ms")
        closing.cancel()

    assert ran.exit_code == Exit.UNREACHABLE
    assert "waiting for the API at http://127.0.0.1" in ran.stderr
    assert "timed out" in ran.stderr


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "gopher://x"])
def test_no_proxy_is_asked_for_an_api_of_this_machine(api, monkeypatch, proxy):
    """The shells of companies name proxies, which reach no loopback address."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)

    assert run(api, "ls").exit_code == Exit.OK


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "gopher://x", "x:y:z"]
)
def test_a_proxy_that_fails_is_named(monkeypatch, tmp_path, proxy):
    """The operator would else look for the fault at an API that runs."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", proxy)
    resolve = socket.getaddrinfo

    def resolve_here(host, *rest, **more):
        # No name of this test is asked for outside of this machine.
        if host == "127.0.0.1":
            return resolve(host, *rest, **more)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)

    ran = run("http://orch.invalid", "ls")

    assert ran.exit_code == Exit.UNREACHABLE
    assert "NO_PROXY" in ran.stderr
    monkeypatch.setenv("NO_PROXY", "orch.invalid")
    assert "NO_PROXY" not in run("http://orch.invalid", "ls").stderr
