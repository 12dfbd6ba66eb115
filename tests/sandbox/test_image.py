"""What is remembered of an image ends when its name gets another image."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.sandboxes.docker import DockerSandbox
from tests.sandbox.conftest import SOCKET, settings_at


@pytest.fixture
def name(home: Path) -> Iterator[str]:
    """A name of the sandbox's image that only this test uses."""
    made = f"renamed-{uuid.uuid4().hex[:12]}:local"
    client = docker.APIClient(f"unix://{SOCKET}")
    client.tag(settings_at(home).sandbox_image, *made.split(":"))
    yield made
    client.remove_image(made, noprune=True)
    client.close()


def test_another_image_under_the_same_name_is_another_image(name: str, home: Path) -> None:
    sandbox = DockerSandbox(settings_at(home, ORCHESTRATOR_SANDBOX_IMAGE=name))
    before = sandbox.image()
    assert sandbox.image() == before
    client = docker.APIClient(f"unix://{SOCKET}")
    container = client.create_container(name, ["true"])
    # As a rebuilt image: the content is the same, the image is not.
    client.commit(container, *name.split(":"), message="rebuilt")
    client.remove_container(container)
    client.close()
    after = sandbox.image()
    assert before.split()[0] == after.split()[0] == name
    assert before != after


def test_an_image_that_is_not_there_is_named(home: Path) -> None:
    sandbox = DockerSandbox(settings_at(home, ORCHESTRATOR_SANDBOX_IMAGE="absent:local"))
    with pytest.raises(BackendUnavailable, match="absent:local"):
        sandbox.image()
