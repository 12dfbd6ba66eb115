"""The images that repositories name, as the Docker Engine has them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from docker.errors import ImageNotFound

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.sandbox import SandboxImage
from orchestrator.sandboxes._docker_engine import Engine
from orchestrator.settings.images import parse_image

#: Processors that run programs of another architecture too.
_ALSO_RUNS: Mapping[str, tuple[str, ...]] = {"amd64": ("386",), "arm64": ("arm",)}
#: What the sandbox itself sets.
_OURS = ("PATH", "ORCH_AGENT_ID", "ORCH_SYSTEM")

_PROXY = "If workers use the Docker socket proxy, set ORCHESTRATOR_ALLOWED_IMAGES for it too."
_LACKS = (
    "Pull or build that image with /bin/sh, env, python3 (3.9 or newer) and this program, or remove"
    " the key `image` of [environment]."
)


def find_image(engine: Engine, name: str) -> SandboxImage:
    """Return an image of the engine; its id fixes the content for all programs of a run.

    Raises:
        BackendUnavailable: there is no such image, or its programs are for another platform.
        SandboxUnavailable: no engine responds.
    """
    try:
        found, host = engine.image(str(parse_image(name)))
    except BackendUnavailable as error:
        if not isinstance(error.__cause__, ImageNotFound):
            msg = f"The image {name} cannot be used: {error.detail}"
            raise BackendUnavailable(msg, action=_PROXY) from error
        msg = f"The Docker Engine does not have the image {name}."
        raise BackendUnavailable(msg, action=f"Run `docker pull {name}`, or build it.") from error
    made_for, here = (_platform(facts) for facts in (found, host))
    if made_for[0] != here[0] or made_for[1] not in ("", here[1], *_ALSO_RUNS.get(here[1], ())):
        msg = f"The image {name} is for {'/'.join(made_for)}, and this host runs {'/'.join(here)}."
        action = f"Pull or build it with `--platform {'/'.join(here)}`."
        raise BackendUnavailable(msg, action=action)
    config: Mapping[str, Any] = found.get("Config") or {}
    variables = dict(entry.split("=", 1) for entry in config.get("Env") or () if "=" in entry)
    return SandboxImage(
        name=name,
        digest=found["Id"],
        variables={key: text for key, text in variables.items() if key not in _OURS},
        volumes=tuple(sorted(map(posixpath.normpath, config.get("Volumes") or ()))),
    )


@contextmanager
def naming(image: SandboxImage | None) -> Iterator[None]:
    """Name the image of a repository in the error of a program that cannot start in it."""
    try:
        yield
    except BackendUnavailable as error:
        if image is None:
            raise
        msg = f"In the image {image.name} of the repository: {error.detail}"
        raise BackendUnavailable(msg, action=_LACKS) from error


def _platform(facts: Mapping[str, Any]) -> tuple[str, str]:
    architecture = facts.get("Architecture") or facts.get("Arch") or ""
    return facts.get("Os") or "linux", architecture
