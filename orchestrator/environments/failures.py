"""The error of a set-up that failed: the command, the end of its output, and who has to act."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.environments.steps import Step
from orchestrator.errors import DiskFull, EnvironmentFailed, OrchestratorError
from orchestrator.interfaces.run import Completed
from orchestrator.settings import Settings
from orchestrator.workspace.disk import reports_full_disk

_MOST_LINES, _MOST_CHARACTERS = 12, 1500
_UNREACHABLE = re.compile(
    r"name resolution|Could not resolve host|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT"
    r"|Network is unreachable|Connection refused|dial tcp|NewConnectionError|ProxyError"
    r"|Failed to establish a new connection|Could not connect|tunneling socket"
    r"|CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT"
)
_SHELL_LACKS = re.compile(r"^(?:/bin/)?sh: \d*:? ?(\S+?):(?: command)? not found", re.MULTILINE)
#: The words of tools that the host has in a version that the repository does not accept.
_OTHER_VERSION = re.compile(
    r"invalid go version '|requires go >= ?\d|unknown directive: toolchain|requires Go \d"
    r"|requires rustc \d|feature `edition\d+` is required"
    r"|lock ?file version `?\d+`? (?:requires|was)"
    r"|requires a different Python: |npm (?:ERR!|error) code EBADENGINE"
    r"|ERR_PNPM_UNSUPPORTED_ENGINE|The engine \"\w+\" is incompatible with this module"
)
_SIGNALLED = 128


def setup_error(
    step: Step, ended: Completed, refused: Sequence[str], timeout_s: float, secrets: Collection[str]
) -> OrchestratorError:
    """Return the error of a step that did not end with exit code 0."""
    said = (ended.stdout + ended.stderr).decode(errors="replace")
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, "***")
    if reports_full_disk(ended.stderr.decode(errors="replace")):
        return DiskFull(f"The set-up of the environment filled the disk: {step.shown}.")
    who, cause = _cause(ended, said, refused, timeout_s)
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-_MOST_LINES:]
    end = " / ".join(lines)[-_MOST_CHARACTERS:]
    spoken = f" The end of its output: {end}" if end else " It said nothing."
    msg = f"`{step.shown}` {cause} (fix the {who}).{spoken}"
    action = {
        "host": "Fix the host as the message says, then spawn again.",
        "repository": "Correct the dependencies, or [environment] setup, on the base branch.",
    }[who]
    return EnvironmentFailed(msg, action=action)


def _cause(
    ended: Completed, said: str, refused: Sequence[str], timeout_s: float
) -> tuple[str, str]:
    if ended.timed_out:
        return "host", f"did not end within {timeout_s:g} s (ORCHESTRATOR_SETUP_TIMEOUT)"
    code = ended.exit_code
    if refused:
        shown = "; ".join(dict.fromkeys(refused))
        return "host", f"needs hosts that ORCHESTRATOR_EGRESS_HOSTS does not name: {shown}"
    number = -code if code < 0 else code - _SIGNALLED
    if number == signal.SIGKILL:
        return "host", "was ended by SIGKILL: the memory it may use may have run out"
    if lacking := _SHELL_LACKS.search(said):
        return "host", f"needs {Path(lacking[1]).name}, which is not installed"
    lacks = (
        (_UNREACHABLE, "could not reach a registry"),
        (_OTHER_VERSION, "needs another version of a tool than this host has"),
    )
    cause = next((cause for words, cause in lacks if words.search(said)), None)
    return ("host", cause) if cause else ("repository", f"ended with exit code {code}")


def check_hosts(hosts: Collection[str], settings: Settings) -> None:
    """Check that this host lets set-ups reach the hosts that a repository names.

    Raises:
        EnvironmentFailed: it does not; the message names the hosts.
    """
    if not settings.has_egress_proxy:
        return
    wanted = {(host if ":" in host else f"{host}:443").lower() for host in hosts}
    if lacking := sorted(wanted - set(settings.egress_hosts)):
        named = ", ".join(lacking)
        msg = f"[environment] network names {named}, and this host does not allow it."
        action = "Fix the host: add it to ORCHESTRATOR_EGRESS_HOSTS, if set-ups may reach it."
        raise EnvironmentFailed(msg, action=action)
