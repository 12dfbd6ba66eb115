"""Contexts: an address and its key by a name, in a file that nobody else may read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator import wiring
from orchestrator.cli import main
from orchestrator.cli.contexts import Context, Contexts
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from tests.conftest import free_port
from tests.integration.api.conftest import serving

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def orch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    for name in ("VALKEY_URL", "ORCHESTRATOR_API_KEY", "ORCHESTRATOR_API_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, code=0, stdin=None):
        ran = CliRunner().invoke(main, arguments, input=stdin)
        assert ran.exit_code == code, (ran.output, ran.exception)
        return ran

    return run


def test_the_context_that_applies(orch, store, valkey_url, monkeypatch, tmp_path):
    settings = load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path / "x")})
    token = store.follow(wiring.api_keys(settings).add("ann", [KeyScope.READ], by="test"))
    (tmp_path / "key").write_text(f"{token}\n")
    # The key of the environment is that of another server: no context gets it.
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "another-server's-key")
    with serving(valkey_url, ORCHESTRATOR_API_KEY="k" * 30) as (client, _):
        url = str(client.base_url)
        added = [
            orch("context", "add", "live", url, "--key-stdin", "--json", stdin=f"{token}\n"),
            orch("context", "add", "file", url, "--key-file", "key"),
            orch("context", "add", "nobody", url),
            orch("context", "add", "away", NOWHERE),
        ]
        file = tmp_path / "home" / "contexts.json"
        assert file.stat().st_mode & 0o777 == 0o600
        assert token in file.read_text()
        listed = [orch("context", "ls"), orch("context", "ls", "--json")]
        assert not any(token in ran.output for ran in added + listed)
        assert f"in {tmp_path / 'key'}" in listed[0].stdout
        for name in ("live", "file"):
            assert json.loads(orch("--context", name, "ls", "--json").stdout)["agents"] == []
        assert "key" in orch("--context", "nobody", "ls", code=1).stderr
        # In use, then the environment's name, then its address, then the options.
        assert orch("context", "use", "away").stdout == f"Context away is used: {NOWHERE}\n"
        orch("ls", code=Exit.UNREACHABLE)
        monkeypatch.setenv("ORCHESTRATOR_CONTEXT", "live")
        orch("ls")
        monkeypatch.setenv("ORCHESTRATOR_API_URL", f"http://127.0.0.1:{free_port()}")
        orch("ls", code=Exit.UNREACHABLE)
        orch("--context", "live", "ls")
        monkeypatch.delenv("ORCHESTRATOR_API_URL")
        monkeypatch.delenv("ORCHESTRATOR_CONTEXT")
        # Settings that name a Valkey are of this system: a context in use does not change it.
        monkeypatch.setenv("VALKEY_URL", valkey_url)
        orch("ls")
        assert "applies instead" in orch("context", "use", "away").stderr
        monkeypatch.delenv("VALKEY_URL")
        orch("context", "rm", "away")
        assert "No orchestrator runs here" in orch("ls", code=Exit.UNREACHABLE).stderr
    store._client.call("FLUSHALL")


def test_what_is_wrong_is_one_clear_error_and_loses_nothing(orch, tmp_path, monkeypatch):
    secret = "a-secret-of-somebody"
    orch("context", "add", "prod", NOWHERE, "--key-stdin", stdin=secret)
    file = tmp_path / "home" / "contexts.json"
    before = file.read_text()
    wrong = [
        ("add", "prod", "http://other"), ("add", "a b", NOWHERE), ("add", "../x", NOWHERE),
        ("add", "new", "ftp://x"), ("add", "new", "http://u:p@x"), ("use", "pord"), ("use",),
        ("rm", "none"), ("use", "prod", "--none"), ("add", "new", NOWHERE, "--key-file", "absent"),
        ("add", "new", NOWHERE, "--key-file", "k", "--key-stdin"),
    ]  # fmt: skip
    for arguments in wrong:
        ran = orch("context", *arguments, code=Exit.USAGE)
        assert secret not in ran.output
    assert "Did you mean 'prod'?" in orch("context", "use", "pord", code=Exit.USAGE).stderr
    for key in ("", "two\nlines", "a" * 9000, "ä"):
        ran = orch("context", "add", "n", NOWHERE, "--key-stdin", stdin=key, code=Exit.USAGE)
        assert ran.stderr.count("\n") == 1
    assert file.read_text() == before
    assert "--context" in orch("--api", NOWHERE, "--context", "prod", "ls", code=2).stderr
    assert "over HTTP" in orch("--context", "prod", "keys", "ls", code=Exit.USAGE).stderr
    # A file that others may read, or that is damaged, sends no key anywhere; and stops no host.
    orch("context", "use", "prod")
    file.chmod(0o644)
    assert f"chmod 600 {file}" in orch("ls", code=Exit.USAGE).stderr
    file.chmod(0o600)
    for text in ("{", f'{{"contexts": {{"p": {{"url": "x", "key": "{secret}"}}}}}}', "[" * 9000):
        file.write_text(text)
        ran = orch("ls", code=Exit.USAGE)
        assert "is damaged" in ran.stderr
        assert secret not in ran.output
        orch("completion", "bash")
        orch("config", "validate")
        orch("context", "add", "new", NOWHERE, code=Exit.USAGE)
        assert file.read_text() == text


def test_commands_at_once_lose_no_context(tmp_path: Path):
    names = [f"c{number}" for number in range(20)]

    def add(name: str) -> None:
        Contexts(tmp_path).add(name, Context(url=NOWHERE), is_replacing=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    assert sorted(Contexts(tmp_path).all()) == sorted(names)
    assert {file.name for file in tmp_path.iterdir()} == {"contexts.json", "contexts.lock"}
