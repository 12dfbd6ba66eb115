"""The programs of one gate in its checkout: their environment, network and limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.environments.products import overlays_in
from orchestrator.host.environment import egress_environment, host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, Sandbox
from orchestrator.settings import Settings
from orchestrator.workspace.worktree import layers_of

#: In an environment all dependencies are installed, so that no gate asks a registry.
_OFFLINE = {
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "npm_config_offline": "true",
    "GOPROXY": "off",
    "CARGO_NET_OFFLINE": "true",
}
#: A repository may hide the names of failed tests; feedback and comparisons need them.
_NAME_FAILURES = "-rfE"
#: The level at which /tmp is empty, without a limit, and removed with the program. At the levels of
#: processes it is the host's, and in a container no program in it can be executed.
_OWN_TMP = "bubblewrap"
#: The limit of one gate command's output; a command that prints more does not pass.
OUTPUT_LIMIT_BYTES = 8 * 2**20

Run = Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]


@dataclass(frozen=True)
class GateProgram:
    """The facts of one gate's checkout that all of its programs share."""

    agent_id: str
    attempt: int
    gate: PlannedGate
    checkout: Path
    #: The socket of the gate's egress proxy, if it has one.
    egress: Path | None
    #: The object folders that the checkouts share.
    readable: tuple[Path, ...]
    environment: Environment | None
    #: Raises an error that must end the run: a kill, a lost lease.
    check: Callable[[], None]
    #: Whether its program is the operator's, such as a reviewing agent.
    is_operators: bool = False
    #: Whether the checkout is a person's own, in whose folder nothing is made.
    is_in_place: bool = False

    def runner(self, sandbox: Sandbox, settings: Settings, *, with_own_tools: bool) -> Run:
        """Return the function that runs a program in the gate's folder, as `GateInput.run`."""
        environment, gate = self.environment, self.gate
        given = environment.variables_in(self.checkout) if environment else {}
        # A build installs its own requirements anew, apart from those of the package.
        if environment and not gate.network and gate.name != "build":
            given = {**_OFFLINE, **given}
        readable = environment.shown if environment else ()
        tmp = {} if self.is_in_place else _own_tmp(self.checkout.parent, sandbox)
        overlays = overlays_in(self.checkout, layers_of(self.checkout.parent))
        image = environment.image if environment and not self.is_operators else None

        def run(
            argv: Sequence[str], env: Mapping[str, str], stdin: bytes, timeout_s: float
        ) -> Completed:
            spec = ProcessSpec(
                agent_id=self.agent_id,
                argv=tuple(argv),
                env={
                    **host_environment(settings, with_own_tools=with_own_tools),
                    "HOME": str(self.checkout.parent),
                    **tmp,
                    "CI": "true",
                    **given,
                    **egress_environment(self.egress),
                    **env,
                    **_python_path(env, given),
                    "PYTEST_ADDOPTS": f"{given.get('PYTEST_ADDOPTS', '')} {_NAME_FAILURES}".strip(),
                },
                cwd=self.checkout / gate.folder,
                stdin=stdin,
                attempt=self.attempt,
                root=self.checkout.parent,
                readable=(*self.readable, *readable),
                path=environment.path if environment else (),
                has_network=not settings.has_egress_proxy,
                egress=self.egress,
                overlays=overlays,
                image=image,
            )
            return run_to_end(
                sandbox,
                spec,
                timeout_s=timeout_s,
                output_limit_bytes=OUTPUT_LIMIT_BYTES,
                check=self.check,
            )

        return run


def _own_tmp(root: Path, sandbox: Sandbox) -> dict[str, str]:
    """Return the TMPDIR of a gate, so that it shares no temporary files with other programs.

    A test runner removes those of earlier runs: at its end, pytest deletes the folders of every
    other pytest of this user, which takes minutes if they are large.
    """
    if sandbox.level == _OWN_TMP:
        # Names of unix sockets are limited to 107 bytes, so the short path is better.
        return {}
    folder = root / "tmp"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


def _python_path(*environments: Mapping[str, str]) -> dict[str, str]:
    """Return the joined PYTHONPATH of several environments, the first one first."""
    places = [env["PYTHONPATH"] for env in environments if "PYTHONPATH" in env]
    return {"PYTHONPATH": os.pathsep.join(places)} if places else {}
