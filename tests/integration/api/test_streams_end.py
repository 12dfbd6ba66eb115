"""A stream that is open ends with its key; one of a valid key goes on."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from orchestrator import wiring
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.wiring import clock
from tests.integration.api.conftest import problem_of, serving, spawn

SIGNED = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
#: The API as it is started, but for the time between two checks.
AT_EACH_FRAME = """
import runpy
from orchestrator.api.http import sse
sse.CHECKED_EVERY_S = 0.0
runpy.run_module("orchestrator.api", run_name="__main__")
"""


@pytest.fixture
def api_keys():
    return wiring.api_keys(load_settings(SIGNED))


@pytest.mark.parametrize("path", ["/agents/events", "/agents/ID/logs"])
@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_stream_ends_when_its_key_is_revoked_or_expires(
    valkey_url, store, api_keys, path, is_revoked
):
    with serving(valkey_url, sys.executable, "-c", AT_EACH_FRAME, **SIGNED) as (api, _):
        agent_id = spawn(api)
        expires_at = clock() + timedelta(seconds=30 if is_revoked else 2)
        add = api_keys.add("ann", [*KeyScope], by="ann", expires_at=expires_at)
        key = {"X-API-Key": store.follow(add)}
        path = path.replace("ID", agent_id)
        asked = {**key, "Accept": "text/event-stream"}
        with api.stream("GET", path, headers=asked) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            next(lines)
            if is_revoked:
                store.follow(api_keys.revoke("ann", by="ann", why="left"))
            else:
                while clock() <= expires_at:
                    pass
            # Another key's event, which this stream must not get any more.
            other = store.follow(api_keys.add("bob", [*KeyScope], by="ann"))
            api.post(f"/agents/{agent_id}/kill", headers={"X-API-Key": other}, json={"timeout": 0})
            assert [line for line in lines if line.startswith("data:")] == []
        problem_of(api.get(path, headers=asked), 401)


def test_a_stream_of_a_valid_key_goes_on(valkey_url, store, api_keys):
    token = store.follow(api_keys.add("ann", [*KeyScope], by="ann"))
    key = {"X-API-Key": token}
    with serving(valkey_url, sys.executable, "-c", AT_EACH_FRAME, **SIGNED) as (api, _):
        api.headers.update(key)
        with api.stream("GET", "/agents/events") as answer:
            lines = (line for line in answer.iter_lines() if line.startswith("data:"))
            for _ in range(3):
                agent_id = spawn(api)
                assert agent_id in next(lines)
