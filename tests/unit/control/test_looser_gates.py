"""`orchestrator.control.looser_gates`: the audit tells how a request loosens its gates."""

from __future__ import annotations

import pytest

from orchestrator.control.looser_gates import looser_gates
from orchestrator.models import SpawnRequest


def request(**more: object) -> SpawnRequest:
    context = {"repository": "https://example.org/r.git", "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context, **more}
    return SpawnRequest.parse(body)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ""),
        ({"gateProfile": "standard"}, ""),
        ({"gateProfile": "strict"}, ""),
        ({"agentType": "reviewer"}, ""),
        ({"gateProfile": "minimal"}, "gate profile minimal"),
        ({"agentType": "reviewer", "gateProfile": "standard"}, "gate profile standard"),
        ({"agentType": "tester"}, "gate profile minimal, the default of agent type tester"),
        ({"agentType": "tester", "gateProfile": "strict"}, ""),
        ({"gateProfile": "custom", "gates": ["lint"]}, "gates of profile custom only: lint"),
        ({"mayEdit": ["docs/*"]}, "may edit: docs/*"),
        ({"mayEdit": ["*"]}, "may edit (tests or checks): *"),
        ({"mayEdit": ["?*"]}, "may edit (tests or checks): ?*"),
        ({"mayEdit": [".github/*"]}, "may edit (tests or checks): .github/*"),
        ({"mayEdit": ["[tT]ests/*"]}, "may edit (tests or checks): [tT]ests/*"),
        (
            {"gateProfile": "minimal", "mayEdit": ["docs/*", "*.py"]},
            "gate profile minimal; may edit (tests or checks): *.py docs/*",
        ),
    ],
)
def test_the_audit_tells_what_is_loosened(more, told):
    assert looser_gates(request(**more)) == told


def test_many_long_patterns_hide_no_pattern_of_tests():
    patterns = [f"docs/{number}/" + "x" * 900 for number in range(99)]
    told = looser_gates(request(mayEdit=[*patterns, "tests/*"]))
    assert told.startswith("may edit (tests or checks): tests/* docs/0/xxx")
    assert told.endswith(" more")
    assert len(told) < 1000
