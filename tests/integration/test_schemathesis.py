"""What the API says of itself is true: schemathesis over the served document, every check on."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from orchestrator import wiring
from orchestrator.api.app import ENDPOINTS
from orchestrator.control.budget import DEFAULT, LimitName
from orchestrator.messages import QUEUES
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import workers
from orchestrator.store.client import Store
from orchestrator.wiring import clock
from tests.integration.api.conftest import serving

FEW = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
#: The feed and a followed log do not end by themselves; the tests of those rooms read them.
ENDLESS = "/agents/events"


def staffed(url):
    """An empty Valkey in which every pool has a worker, for as long as the tests last."""
    store = Store(url)
    store._client.call("FLUSHALL")
    for queue in QUEUES:
        store.run(workers.announce(f"{queue}@here", now=clock() + timedelta(hours=1)))
    return store


@pytest.fixture(scope="module")
def base_url(valkey_server):
    staffed(valkey_server).close()
    with serving(valkey_server) as (client, _):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def keyed(valkey_server):
    """The base URL of a server that asks for keys, and a key that may do everything."""
    store = staffed(valkey_server)
    extra = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64, "ORCHESTRATOR_SPAWN_RATE": "0"}
    api_keys = wiring.api_keys(load_settings(extra))
    token = store.follow(api_keys.add("all", list(KeyScope), by="test"))
    store.close()
    with serving(valkey_server, **extra) as (client, _):
        yield str(client.base_url), {"X-API-Key": token}


OPERATIONS = [
    (endpoint.method, endpoint.path.replace(":path}", "}"))
    for endpoint in ENDPOINTS
    if endpoint.path != ENDLESS
]


def check(method, path, base_url, headers, mode):
    """Ask an operation what its description allows, or forbids, and hold the answers to it."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json", headers=headers)
    # With a limit in dollars, which another operation may have set, a model needs a price.
    limits = dict.fromkeys(get_args(LimitName), DEFAULT)
    reset = httpx.patch(f"{base_url}/budget", headers=headers, json={**limits, "reason": "test"})
    assert reset.is_success, reset.text

    @FEW
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        # A description cannot say which models have a price.
        assume(not (isinstance(case.body, dict) and case.body.get("maxCostUsd")))
        case.call_and_validate(headers=headers, timeout=120)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "nothing can be asked wrongly"


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_document_holds_without_keys(method, path, mode, base_url):
    check(method, path, base_url, {}, mode)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_document_holds_with_keys(method, path, keyed):
    """Among the checks: who sends no key, or another, is refused as the document says."""
    check(method, path, *keyed, GenerationMode.POSITIVE)


def test_every_route_stands_in_the_document(keyed):
    """And no other: both are made of one table."""
    base_url, headers = keyed
    paths = httpx.get(f"{base_url}/openapi.json", headers=headers).json()["paths"]
    reported = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    made = {
        (method, route.path.replace(":path}", "}"))
        for route in (endpoint.route() for endpoint in ENDPOINTS)
        for method in route.methods - {"HEAD"}
    }
    assert reported == made


def test_the_page_of_the_document_loads_nothing_from_elsewhere(keyed):
    base_url, headers = keyed
    page = httpx.get(f"{base_url}/docs", headers=headers)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text.replace("<h1>HTTP API", "").replace(": HTTP API", "")
    for path in ("/static/docs.js", "/static/docs.css"):
        assert path in page.text
        assert httpx.get(f"{base_url}{path}", headers=headers).status_code == 200
    assert httpx.get(f"{base_url}/static/..%2fapp.py", headers=headers).status_code == 404
