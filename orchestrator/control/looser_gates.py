"""What a request loosens of the gates of its agent, in the words of the audit. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from orchestrator.models import DEFAULT_PROFILE, GateProfile, SpawnRequest

#: From the strictest one; `custom` runs what the request lists, which may be anything.
_STRICTNESS = (GateProfile.STRICT, GateProfile.STANDARD, GateProfile.MINIMAL, GateProfile.CUSTOM)
_LOOSE = frozenset({GateProfile.MINIMAL, GateProfile.CUSTOM})
#: Paths that belong to the checks of most repositories; a pattern that matches one is told first.
_CHECKS = (
    "tests/test_a.py", "test/a.test.js", "src/a_test.go", "src/a/tests/test_a.py", "__tests__/a.js",
    "conftest.py", "tests/conftest.py", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Makefile",
    "orchestrator.toml", "pyproject.toml", "package.json", "pytest.ini", "tox.ini", ".coveragerc",
)  # fmt: skip
#: The length of the audit's text; the rest of it names the profile.
_PATTERNS_CHARACTERS = 700
_PATTERN_CHARACTERS = 100


def looser_gates(request: SpawnRequest) -> str:
    """Return how a request loosens the gates of its agent; empty if it does not.

    Patterns of `mayEdit` that match tests or checks come first, so that no number of others hides
    them.
    """
    return "; ".join(filter(None, (_profile(request), _may_edit(request))))


def _profile(request: SpawnRequest) -> str:
    usual, chosen = DEFAULT_PROFILE[request.agent_type], request.profile
    is_weaker = _STRICTNESS.index(chosen) > _STRICTNESS.index(usual)
    if not (is_weaker or chosen in _LOOSE):
        return ""
    if chosen is GateProfile.CUSTOM:
        return f"gates of profile custom only: {', '.join(request.gates)}"[:_PATTERNS_CHARACTERS]
    by = "" if request.gate_profile else f", the default of agent type {request.agent_type}"
    return f"gate profile {chosen}{by}"


def _may_edit(request: SpawnRequest) -> str:
    first = sorted(request.may_edit, key=lambda pattern: not _covers_checks(pattern))
    shown = list(_within(first))
    if not shown:
        return ""
    more = f" and {len(first) - len(shown)} more" if len(first) > len(shown) else ""
    risk = " (tests or checks)" if _covers_checks(first[0]) else ""
    return f"may edit{risk}: {' '.join(shown)}{more}"


def _covers_checks(pattern: str) -> bool:
    return any(fnmatchcase(path, pattern) for path in _CHECKS)


def _within(patterns: list[str]) -> Iterator[str]:
    left = _PATTERNS_CHARACTERS
    for pattern in patterns:
        shown = pattern[:_PATTERN_CHARACTERS]
        left -= len(shown) + 1
        if left < 0:
            return
        yield shown
