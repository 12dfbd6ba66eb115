"""What the API says of itself is true: schemathesis over the served document, every check on."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from orchestrator.access import Keyring
from orchestrator.api.app import ENDPOINTS
from orchestrator.audit import Audit
from orchestrator.models import KeyScope
from orchestrator.store.executors import Store
from orchestrator.wiring import clock, new_id
from tests.integration.test_api import serving

FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
#: The feed and a followed log do not end by themselves; the tests of those rooms read them.
ENDLESS = "/agents/events"


@pytest.fixture(scope="module")
def base_url(valkey_server):
    with serving(valkey_server) as (client, _):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def keyed(valkey_server):
    """The base URL of a server that asks for keys, and a key that may do everything."""
    store = Store(valkey_server)
    store._client.flushall()
    keyring = Keyring(Audit(b"k" * 32, clock, new_id), clock)
    token = store.follow(keyring.add("all", list(KeyScope), by="test"))
    store.close()
    extra = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64, "ORCHESTRATOR_SPAWN_RATE": "0"}
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

    @FEW
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate(headers=headers, timeout=20)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "nothing can be asked wrongly"


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_document_holds_without_keys(method, path, mode, base_url):
    check(method, path, base_url, {}, mode)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_document_holds_with_keys(method, path, mode, keyed):
    check(method, path, *keyed, mode)


def test_every_route_stands_in_the_document(base_url):
    """And no other: both are made of one table."""
    paths = httpx.get(f"{base_url}/openapi.json").json()["paths"]
    told = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    made = {
        (method, route.path.replace(":path}", "}"))
        for route in (endpoint.route() for endpoint in ENDPOINTS)
        for method in route.methods - {"HEAD"}
    }
    assert told == made


def test_the_page_of_the_document_loads_nothing_from_elsewhere(base_url):
    page = httpx.get(f"{base_url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text.replace("<h1>HTTP API", "").replace(": HTTP API", "")
    for path in ("/static/docs.js", "/static/docs.css"):
        assert path in page.text
        assert httpx.get(f"{base_url}{path}").status_code == 200
    assert httpx.get(f"{base_url}/static/..%2fapp.py").status_code == 404
