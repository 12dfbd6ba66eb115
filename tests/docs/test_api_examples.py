"""Every route has a curl line, and every type of event its row."""

from __future__ import annotations

import re

import pytest

from orchestrator.api.app import ENDPOINTS
from orchestrator.models.event_schemas import EVENTS
from tests.docs.test_pages import ROOT

EXAMPLES = (ROOT / "docs" / "api-examples.md").read_text()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_each_route_has_a_curl_line(endpoint):
    path = re.sub(r"\\\{\w+(:path)?\\\}", r"[^\\s/\"]+", re.escape(endpoint.path))
    lines = re.findall(rf"^.*\$API{path}(?=[\s\"?]).*$", EXAMPLES, re.MULTILINE)
    sent = [re.search(r"-X (\w+)", line) for line in lines]
    assert endpoint.method in [one[1] if one else "GET" for one in sent]


def test_each_type_of_event_stands_in_its_page():
    page = (ROOT / "docs" / "events.md").read_text()
    for name, kind in EVENTS.items():
        assert f"| `{name}` | {kind.purpose} |" in page
