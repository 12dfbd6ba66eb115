"""Which names of images the patterns of an operator allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import load_settings
from orchestrator.settings.images import is_allowed, parse_image

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("python:3.*", "python:3.12-slim", True),
        ("python:3.*", "docker.io/library/python:3.12", True),
        ("index.docker.io/python:3.*", "python:3.12", True),
        ("python:3.*", "python:2.7", False),
        ("python:3.*", "python", False),
        ("python:3.*", "python-x/a:3.1", False),
        ("python:3.*", "registry.example.org/python:3.12", False),
        ("python", "python", True),
        ("python", "python:3.12", True),
        ("python", f"python@{A}", True),
        # The engine ignores the tag beside a digest.
        ("python:3.12", f"python:3.12@{A}", False),
        (f"python@{A}", f"python:3.12@{A}", True),
        (f"python@{A}", f"python@{B}", False),
        (f"python@{A}", "python:3.12", False),
        ("registry.example.org/ci/*", "registry.example.org/ci/a:1", True),
        ("registry.example.org/ci/*", "registry.example.org/ci/a/b:1", False),
        ("registry.example.org/ci/**", "registry.example.org/ci/a/b:1", True),
        ("registry.example.org/ci/*", "registry.example.org.evil.example/ci/a", False),
        ("*.example.org/ci", "evil.example/x.example.org/ci", False),
        ("*.example.org/ci", "a.example.org/ci:2", True),
        ("localhost:5000/*", "localhost:5000/a:1", True),
        ("localhost:5000/*", "localhost/a:1", False),
        ("team/*", "team/a:1", True),
        ("team/*", "registry.example.org/team/a:1", False),
        ("**", "registry.example.org/team/a:1", True),
        ("**/ci:*", "registry.example.org/team/ci:1", True),
        ("python.", "pythonx", False),
    ],
)
def test_a_pattern_allows_a_name(pattern, name, expected):
    assert is_allowed(name, (pattern,)) is expected


@pytest.mark.parametrize("text", ["", "X", "a:", "a//b", "a@sha256:1", "/a", "a b", "a:b:c", "-a"])
def test_a_text_that_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the name of an image"):
        parse_image(text)
    assert not is_allowed(text, ("**",))


def test_a_name_cannot_be_taken_for_the_id_of_an_image() -> None:
    assert str(parse_image("c9d9efbdb6f4")) == "docker.io/library/c9d9efbdb6f4:latest"
    assert str(parse_image(A)) == f"docker.io/library/sha256:{'a' * 64}"


def test_only_the_image_of_the_operator_is_allowed_without_a_setting(tmp_path: Path) -> None:
    given = {"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_SANDBOX_IMAGE": "own"}
    settings = load_settings(given)
    assert settings.allows_image("docker.io/library/own:latest")
    assert not settings.allows_image("own:2")
    assert not settings.allows_image("other")
    by_id = load_settings({**given, "ORCHESTRATOR_SANDBOX_IMAGE": A})
    assert not by_id.allows_image("sha256")
    with pytest.raises(SettingsInvalid, match=r"ORCHESTRATOR_ALLOWED_IMAGES.*write \*\*"):
        load_settings({**given, "ORCHESTRATOR_ALLOWED_IMAGES": "a *"})
    with pytest.raises(SettingsInvalid, match="ORCHESTRATOR_ALLOWED_IMAGES"):
        load_settings({**given, "ORCHESTRATOR_ALLOWED_IMAGES": "a$"})
