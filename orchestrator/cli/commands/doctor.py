"""`orch doctor`: checks this machine, and prints what to do about each problem."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import click
import psutil

from orchestrator.cli.deadline import waiting_for_valkey
from orchestrator.cli.local import instance
from orchestrator.cli.local.price_check import see_prices
from orchestrator.cli.local.programs import api_lacks, api_url
from orchestrator.cli.local.valkey_checks import see_clock, see_records, see_sweep
from orchestrator.cli.output.render import json_option
from orchestrator.cli.output.table import Column, print_table
from orchestrator.cli.output.text import is_terminal, plain
from orchestrator.errors import (
    BackendUnavailable,
    DiskFull,
    OrchestratorError,
    StoreUnreachable,
    SystemNotRunning,
)
from orchestrator.host.outer_files import tool_files_above
from orchestrator.sandboxes import process
from orchestrator.settings import Settings
from orchestrator.store.api_keys import was_given
from orchestrator.store.client import Store
from orchestrator.store.server import read_info, try_write
from orchestrator.wiring import BACKENDS
from orchestrator.wiring.host import SANDBOXES
from orchestrator.workspace.disk import free_bytes, lack_of_space

#: The first git whose `merge-tree --write-tree` finds conflicts without a working tree.
LEAST_GIT = (2, 38)


class Health(StrEnum):
    """The result of a check; `warn` is a problem that does not stop the system."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_NO_NETWORK = "agents have no network but the egress proxy"
_PROXY = "set ORCHESTRATOR_SANDBOX_NETWORK=proxy"
_COLUMNS = (
    Column("", 0),
    Column("CHECK", 0),
    Column("FOUND", 1),
    Column("WHAT TO DO", is_below=True),
)
_STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"}


@dataclass(frozen=True)
class Check:
    """A check; `look` returns a description, or raises the error that says what to do."""

    name: str
    look: Callable[[], str]
    is_optional: bool = False
    #: Whether the settings do not use what it checks: its fault is no trouble of today.
    is_unused: bool = False


@dataclass(frozen=True)
class DoctorFinding:
    """The result of a check, with its description."""

    name: str
    status: Health
    detail: str
    what_to_do: str = ""
    is_unused: bool = False

    @property
    def urgency(self) -> int:
        """Its place in the list: faults, warnings, what is well, faults of what is not used."""
        if self.is_unused and self.status is not Health.OK:
            return len(Health)
        return (Health.FAIL, Health.WARN, Health.OK).index(self.status)


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check this machine, and print what to do about each problem."""
    findings = examine(checks(ctx.obj))
    if as_json:
        click.echo(json.dumps({"checks": [_wire(finding) for finding in findings]}))
    else:
        _print_findings(findings)
    ctx.exit(int(any(finding.status is Health.FAIL for finding in findings)))


def examine(listed: Sequence[Check]) -> tuple[DoctorFinding, ...]:
    """Run every check, also after a failed one; return today's trouble first."""
    with waiting_for_valkey():
        found = [_examine_one(check) for check in listed]
    return tuple(sorted(found, key=lambda finding: finding.urgency))


def checks(settings: Settings) -> tuple[Check, ...]:
    """Return every check of this machine; checks that the settings do not require are optional."""
    system = instance.discover(settings.home)
    orphaned = None if system else instance.discover_orphaned(settings.home)
    system = system or orphaned
    valkey = system.valkey if system else None if settings.is_embedded else settings.valkey_url
    default, has_dollars = settings.default_agent, settings.daily_usd or settings.agent_usd
    agents = (
        _unless_used(f"agent {name}", partial(see_agent, settings, name), name == default)
        for name in BACKENDS.names()
    )
    return (
        Check("python", platform.python_version),
        Check("git", see_git),
        Check("disk", partial(see_disk, settings)),
        Check("folders above", partial(see_folders_above, settings), is_optional=True),
        _unless_used("valkey", partial(see_valkey, valkey), valkey is not None),
        _unless_used("clock", partial(see_clock, settings, valkey), valkey is not None),
        Check("sweep", partial(see_sweep, valkey), is_optional=True),
        Check("records", partial(see_records, valkey), is_optional=True),
        Check("valkey password", partial(see_password, settings), is_optional=True),
        Check("api key", partial(see_api_key, settings, valkey), is_optional=True),
        _unless_used("process manager", partial(see_manager, system, orphaned), system is not None),
        _unless_used("api, workers", partial(see_api, settings), system is not None),
        *agents,
        Check("model key", partial(see_key, settings), is_optional=True),
        Check("prices", partial(see_prices, settings), is_optional=not has_dollars),
        _unless_used("docker", partial(see_docker, settings), settings.sandbox_enabled),
        Check("processes", partial(see_level, settings), settings.process_level == "auto"),
    )


def _unless_used(name: str, look: Callable[[], str], is_used: object) -> Check:
    return Check(name, look, is_optional=not is_used, is_unused=not is_used)


def see_git() -> str:
    """Return git's version; raise if it is missing or too old."""
    action = f"Install git {'.'.join(map(str, LEAST_GIT))} or newer."
    binary = shutil.which("git")
    if binary is None:
        msg = "There is no git on PATH."
        raise OrchestratorError(msg, action=action)
    ran = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"(\d+)\.(\d+)", ran.stdout)
    if version is None or (int(version[1]), int(version[2])) < LEAST_GIT:
        msg = f"{binary}: {ran.stdout.strip() or 'no version'} is too old."
        raise OrchestratorError(msg, action=action)
    return ran.stdout.strip()


def see_disk(settings: Settings) -> str:
    """Return the free space of the workspaces' disk."""
    free, mark = free_bytes(settings.workspaces_dir), settings.disk_low_water_bytes
    detail = (
        f"{free / 2**30:.1f} GiB free under {settings.workspaces_dir}"
        f" (no agent starts below {mark / 2**30:.1f} GiB)"
    )
    if free < mark:
        msg = f"Only {detail}."
        raise DiskFull(msg)
    if lack := lack_of_space(settings.workspaces_dir, mark):
        msg = f"No agent starts: {lack}."
        raise DiskFull(msg)
    return detail


def see_folders_above(settings: Settings) -> str:
    """Return that tools find nothing above the workspaces; raise if they do."""
    hides = (lambda _: True) if settings.sandbox_enabled else process.build(settings).hides
    found = [path for path in tool_files_above(settings.workspaces_dir) if not hides(path)]
    if found:
        msg = f"Tools that gates run look above their folder, and find {found[0]}."
        action = "Move ORCHESTRATOR_HOME and ORCHESTRATOR_WORKSPACES out of that folder."
        raise OrchestratorError(msg, action=action)
    return "nothing that tools look for"


def see_valkey(url: str | None) -> str:
    """Return Valkey's version; raise if it refuses writes, may evict or does not persist them."""
    if url is None:
        raise SystemNotRunning
    store = Store(url)
    try:
        info = store.run(read_info())
        store.run(try_write())
    finally:
        store.close()
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        msg = f"Its maxmemory-policy is {policy}: it may forget agents."
        raise StoreUnreachable(msg, action="CONFIG SET maxmemory-policy noeviction")
    if not info.get("aof_enabled"):
        msg = "Its append-only file is off: a restart forgets agents."
        raise StoreUnreachable(msg, action="CONFIG SET appendonly yes")
    version = info.get("valkey_version") or info.get("redis_version")
    return f"{version}, noeviction, append-only file on"


def see_password(settings: Settings) -> str:
    """Return what protects the Valkey of `orch up` from agents."""
    if not settings.is_embedded:
        return "none of `orch up`"
    if settings.valkey_password:
        return "set"
    if settings.has_egress_proxy:
        return _NO_NETWORK
    msg = "Agents have this host's network, and Valkey asks for no password: all state is theirs."
    raise OrchestratorError(msg, action=f"Set VALKEY_PASSWORD, or {_PROXY}.")


def see_api_key(settings: Settings, valkey: str | None) -> str:
    """Return what protects the API from agents."""
    if settings.has_egress_proxy:
        return _NO_NETWORK
    if settings.api_key or settings.allowed_hosts or (valkey is not None and _has_keys(valkey)):
        return "asked for"
    if (level := process.build(settings).level) == "bubblewrap":
        return "not asked for; processes of agents are refused"
    msg = (
        "Agents have this host's network, and the API asks for no key. It refuses their processes,"
        f" but at level {level} an agent can end its supervisor: then every scope is its own."
    )
    raise OrchestratorError(
        msg, action=f"Run `orch keys add` or set ORCHESTRATOR_API_KEY, or {_PROXY}."
    )


def _has_keys(valkey: str) -> bool:
    store = Store(valkey)
    try:
        return store.run(was_given())
    finally:
        store.close()


def see_manager(system: instance.System | None, orphaned: instance.System | None) -> str:
    """Report whether supervisord runs; raise if only its programs do, or a signal stopped it."""
    if orphaned:
        raise OrchestratorError(instance.ORPHANED, action=instance.START_ANEW)
    pid = system.pids[instance.SUPERVISOR] if system else None
    if pid is not None and _is_stopped(pid):
        msg = f"Its process {pid} is stopped: it restarts no program that ends."
        raise OrchestratorError(msg, action=f"Continue it: `kill -CONT {pid}`.")
    return "runs"


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def see_api(settings: Settings) -> str:
    """Return the API's address; raise unless it responds and every queue has a worker."""
    if lack := api_lacks(settings):
        msg = f"Not ready: {lack}."
        raise SystemNotRunning(msg)
    return f"{api_url(settings)} is ready"


def see_agent(settings: Settings, name: str) -> str:
    """Return the program that an agent backend would start."""
    try:
        return BACKENDS.build(name, settings).check()
    except ImportError as error:
        msg = f"Its package cannot be imported ({error})."
        raise BackendUnavailable(msg, action="Install it again, or remove it.") from error


def see_key(settings: Settings) -> str:
    """Report whether a model key is set, without its value."""
    if settings.model_key is None:
        msg = "None is set: agents are scripted."
        action = "Set CLAUDE_API_KEY, or CLAUDE_API_KEY_FILE to a file that holds it."
        raise OrchestratorError(msg, action=action)
    return "set"


def see_docker(settings: Settings) -> str:
    """Return the version of the Docker Engine; raise unless it has the image of the sandbox."""
    return SANDBOXES.build("docker", settings).check()


def see_level(settings: Settings) -> str:
    """Return the confinement of plain processes here; the error says how to get the next level."""
    sandbox = process.build(settings)
    if settings.process_level == "auto" and sandbox.lack is not None:
        msg = f"{sandbox.check()} {sandbox.lack.detail}"
        raise BackendUnavailable(msg, action=sandbox.lack.what_to_do)
    return sandbox.check()


def _examine_one(check: Check) -> DoctorFinding:
    try:
        return DoctorFinding(check.name, Health.OK, check.look())
    except OrchestratorError as error:
        status = Health.WARN if check.is_optional else Health.FAIL
        return DoctorFinding(check.name, status, error.detail, error.what_to_do, check.is_unused)


def _wire(finding: DoctorFinding) -> dict[str, str]:
    row = {"name": finding.name, "status": finding.status.value, "detail": finding.detail}
    return row | ({"whatToDo": finding.what_to_do} if finding.what_to_do else {})


def _print_findings(findings: Sequence[DoctorFinding]) -> None:
    if not is_terminal():
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            words = f"{finding.detail} {finding.what_to_do}".strip()
            click.echo(f"{finding.status:<4}  {finding.name:<{width}}  {plain(words)}")
        return
    rows = [
        (finding.status, finding.name, finding.detail, finding.what_to_do) for finding in findings
    ]
    print_table(_COLUMNS, rows, [_STYLES[finding.status] for finding in findings])
