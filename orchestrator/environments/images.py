"""The image that a repository names: whether it is allowed, and whether programs run in it."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox, SandboxImage
from orchestrator.settings import Settings

_PROBE = (
    "import sys; "
    "sys.exit(None if sys.version_info >= (3, 9) else f'python3 is {sys.version.split()[0]}')"
)
_PROBE_S, _SAID_BYTES = 60.0, 2**16


def check_allowed(name: str, settings: Settings) -> None:
    """Check that this host runs programs in the image of a repository; no engine is asked.

    Raises:
        EnvironmentFailed: it does not; the message names the setting.
    """
    if not settings.sandbox_enabled:
        msg = f"[environment] image names {name}, and this host runs programs outside Docker."
        action = "Fix the host: set SANDBOX_ENABLED=true. Or remove the key `image`."
        raise EnvironmentFailed(msg, action=action)
    if not settings.allows_image(name):
        msg = f"[environment] image names {name}, and ORCHESTRATOR_ALLOWED_IMAGES does not."
        action = "Fix the host: add it there, if repositories may use it. Or remove the key."
        raise EnvironmentFailed(msg, action=action)


def find_image(name: str, settings: Settings, sandbox: Sandbox) -> SandboxImage:
    """Return the image of a repository, with the id that all programs of a run use.

    Raises:
        EnvironmentFailed: it is not allowed, does not exist, or is for another platform.
        SandboxUnavailable: no engine answers.
    """
    check_allowed(name, settings)
    try:
        return sandbox.find_image(name)
    except BackendUnavailable as error:
        raise EnvironmentFailed(error.detail, action=f"Fix the host: {error.what_to_do}") from error


def probe(
    sandbox: Sandbox, environment: Environment, label: tuple[str, int], check: Callable[[], None]
) -> None:
    """Run a program in the image of an environment, before anything is installed with it.

    `label` names the agent and its attempt. Raises what `check` raises, and the errors of
    `Sandbox.start` that are no fault of the image.

    Raises:
        EnvironmentFailed: the shim of the sandbox cannot run in the image.
    """
    image = environment.image
    if image is None:
        return
    spec = ProcessSpec(
        agent_id=label[0],
        argv=("python3", "-c", _PROBE),
        env={"PATH": "of the image"},
        cwd=environment.tree,
        attempt=label[1],
        root=environment.root,
        image=image,
    )
    try:
        ended = run_to_end(
            sandbox, spec, timeout_s=_PROBE_S, output_limit_bytes=_SAID_BYTES, check=check
        )
    except BackendUnavailable as error:
        raise EnvironmentFailed(error.detail, action=f"Fix the host: {error.what_to_do}") from error
    if ended.exit_code != 0:
        said = ended.stderr.decode(errors="replace").strip() or f"exit code {ended.exit_code}"
        msg = f"The image {image.name} needs python3, 3.9 or newer: {said}."
        raise EnvironmentFailed(msg, action="Fix the image, or remove the key `image`.")
