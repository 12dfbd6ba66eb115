"""A key that a backend gives its program is in nothing that Valkey holds, if the agent says it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator import plugins
from orchestrator.backends import command
from orchestrator.models import Status
from orchestrator.store.operations import command as valkey
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab

KEY = "sk-their-very-own-key-0123456789"
SAYS_IT = ["/bin/sh", "-c", 'echo "out $KEY"; echo "err $KEY" >&2; exit 1']
PREFIX = "ORCHESTRATOR_BACKENDS__"


class Options(BaseModel):
    login: SecretStr


def build_theirs(settings):
    login = settings.backend_options("theirs", Options).login.get_secret_value()
    options = command.Options(argv=json.dumps(SAYS_IT), env=json.dumps({"KEY": login}))
    return command.CommandBackend(options, path="/bin")


@pytest.fixture
def theirs(monkeypatch):
    """Install a backend of another distribution."""
    module = ModuleType("their_backend")
    build_theirs.__module__ = module.__name__
    module.build = build_theirs
    module.secrets = lambda settings: settings.backend_secrets("theirs", Options)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = EntryPoint("theirs", "their_backend:build", "orchestrator.agents")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group else [])


def dump(store):
    """Everything that Valkey holds, as one text."""

    def read(kind, key):
        ask = {
            "string": ("GET", key), "list": ("LRANGE", key, 0, -1), "hash": ("HGETALL", key),
            "zset": ("ZRANGE", key, 0, -1), "set": ("SMEMBERS", key),
            "stream": ("XRANGE", key, "-", "+"),
        }[kind]  # fmt: skip
        return str(store.run(valkey(*ask, decode=lambda reply: reply)))

    names = store.run(valkey("KEYS", "*", decode=lambda reply: [name.decode() for name in reply]))
    kinds = {name: store.run(valkey("TYPE", name, decode=lambda reply: reply)) for name in names}
    return "".join(
        name + read(kind.decode() if isinstance(kind, bytes) else kind, name)
        for name, kind in kinds.items()
    )


@pytest.mark.parametrize("backend", ["command", "theirs"])
def test_a_key_that_an_agent_says_is_kept_nowhere(theirs, backend, tmp_path, valkey_url):
    options = {
        f"{PREFIX}COMMAND__ARGV": json.dumps(SAYS_IT),
        f"{PREFIX}COMMAND__ENV": json.dumps({"KEY": KEY}),
        f"{PREFIX}THEIRS__LOGIN": KEY,
    }
    mine = {name: value for name, value in options.items() if backend.upper() in name}
    lab = Lab(tmp_path, valkey_url, **mine)
    agent = lab.play(make_remote(tmp_path, SAMPLE), agent=backend, maxRetries=0)
    assert agent.status is Status.FAILED
    held = dump(lab.store)
    assert "out [masked]" in held
    assert "err [masked]" in held
    assert KEY not in held
