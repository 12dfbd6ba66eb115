"""What a system is made of: every queue served, no secret in an argument list, honest readiness."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from orchestrator.cli.local.flower import config_file, password_file, write_config
from orchestrator.cli.local.programs import (
    SPAWN_THREADS,
    api_lacks,
    api_url,
    listeners,
    programs,
    valkey_config,
)
from orchestrator.messages import QUEUES
from orchestrator.settings import Settings, load_settings
from tests.conftest import free_port

PASSWORD = 'a "b\\ c\n%d'


def settings(tmp_path, **environ: str) -> Settings:
    return load_settings({"ORCHESTRATOR_HOME": str(tmp_path), **environ})


def names(parts) -> list[str]:
    return [part.name for part in parts]


def test_every_queue_has_a_worker_of_its_own(tmp_path):
    by_name = {part.name: part for part in programs(settings(tmp_path), flower=False)}
    for queue in QUEUES:
        argv = by_name[queue].argv
        assert argv[argv.index("-Q") + 1] == queue
        assert argv[argv.index("-n") + 1] == f"{queue}@%h"


def test_pools_are_as_large_as_the_settings_say(tmp_path):
    sized = settings(tmp_path, MAX_CONCURRENT_AGENTS="7", ORCHESTRATOR_GATE_WORKERS="3")
    by_name = {part.name: part for part in programs(sized, flower=False)}
    # More threads than agents at once: who waits for a place costs none.
    assert by_name["spawn"].argv[-4:] == ("-P", "threads", "-c", str(SPAWN_THREADS))
    assert by_name["gates"].argv[-4:] == ("-P", "prefork", "-c", "3")


@pytest.mark.parametrize("variable", ["VALKEY_URL", "VALKEY_HOST"])
def test_a_valkey_that_is_named_is_not_started(tmp_path, variable):
    value = {"VALKEY_URL": "redis://elsewhere:1", "VALKEY_HOST": "elsewhere"}[variable]
    away = settings(tmp_path, **{variable: value})
    assert "valkey" not in names(programs(away, flower=False))
    assert "VALKEY_PORT" not in [each.variable for each in listeners(away, flower=False)]


def test_the_embedded_valkey_starts_before_all_and_so_stops_last(tmp_path):
    parts = programs(settings(tmp_path), flower=True)
    stages = {part.name: part.stage for part in parts}
    valkey = stages.pop("valkey")
    assert valkey < min(stages.values())


def test_flower_is_asked_for_listens_on_loopback_and_only_reads(tmp_path):
    public = settings(tmp_path, ORCHESTRATOR_HOST="0.0.0.0", ORCHESTRATOR_API_KEY="k" * 32)
    assert "flower" not in names(programs(public, flower=False))
    part = programs(public, flower=True)[-1]
    (tmp_path / "run").mkdir()
    part.prepare()
    (conf,) = (word.removeprefix("--conf=") for word in part.argv if word.startswith("--conf="))
    written = Path(conf).read_text()
    assert "address = '127.0.0.1'\n" in written
    assert "read_only = True\n" in written
    assert [each.host for each in listeners(public, flower=True)] == [
        "0.0.0.0",
        "127.0.0.1",
        "127.0.0.1",
    ]


def test_flowers_password_is_made_once_for_its_owners_eyes_unless_one_is_set(tmp_path):
    ours = settings(tmp_path)
    (tmp_path / "run").mkdir()
    write_config(ours)
    password = password_file(ours).read_text()
    first = config_file(ours).read_text()
    write_config(ours)
    assert f"basic_auth = ['orch:{password}']\n" in first
    assert config_file(ours).read_text() == first
    for path in (password_file(ours), config_file(ours)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_config(
        settings(tmp_path, ORCHESTRATOR_FLOWER_USER="me", ORCHESTRATOR_FLOWER_PASSWORD="x' y")
    )
    assert """basic_auth = ["me:x' y"]\n""" in config_file(ours).read_text()


def test_no_argument_list_holds_a_secret(tmp_path):
    secret = settings(
        tmp_path,
        VALKEY_PASSWORD=PASSWORD,
        CLAUDE_API_KEY="sk-key",
        ORCHESTRATOR_FLOWER_PASSWORD="a password",
    )
    assert "a password" in secret.secrets
    for part in programs(secret, flower=True):
        assert not any(value in word for value in secret.secrets for word in part.argv)


def test_a_password_cannot_leave_its_line(tmp_path):
    lines = valkey_config(settings(tmp_path, VALKEY_PASSWORD=PASSWORD)).splitlines()
    assert lines[-1] == r'requirepass "a\x20\x22b\x5c\x20c\x0a\x25d"'


def test_valkey_keeps_every_write_and_evicts_nothing(tmp_path):
    lines = valkey_config(settings(tmp_path)).splitlines()
    assert {"bind 127.0.0.1", "appendonly yes", "maxmemory-policy noeviction"} < set(lines)


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:3001"), ("::", "http://[::1]:3001"), ("a.b", "http://a.b:3001")],
)
def test_the_api_is_reached_from_here_wherever_it_listens(tmp_path, host, url):
    public = settings(tmp_path, ORCHESTRATOR_HOST=host, ORCHESTRATOR_API_KEY="k" * 32)
    assert api_url(public) == url


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """Answer every request so; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "lack"),
    [
        (200, b'{"ready": true, "checks": {"valkey": "ok"}}', None),
        (
            503,
            b'{"ready": false, "checks": {"valkey": "ok", "workers": "none"}}',
            "workers: none",
        ),
        (503, b'{"ready": false, "checks": {}}', "not why"),
        (200, b"<html>", "is not the API"),
        (200, b"[]", "is not the API"),
    ],
)
def test_the_api_says_what_the_system_lacks(tmp_path, status, body, lack):
    with answering(status, body) as port:
        found = api_lacks(settings(tmp_path, ORCHESTRATOR_PORT=str(port)))
    assert found is None if lack is None else lack in str(found)


def test_an_api_that_is_away_is_not_ready(tmp_path):
    found = api_lacks(settings(tmp_path, ORCHESTRATOR_PORT=str(free_port())))
    assert str(found).startswith("no answer at http://127.0.0.1:")
