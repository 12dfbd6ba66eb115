"""Every command line of the pages runs as it stands there, on a real system with scripted agents.

A line ends with 0, or as its comment says (`# exit code 3 …`). `<agentId>` is an agent in the state
that the command is for, $REPO a remote, the folder a checkout with a commit of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.test_pages import PAGES, ROOT
from tests.integration.conftest import SAMPLE, System, git, make_remote, running
from tests.processes import eventually

#: What cannot run here, by how its line begins → what runs it instead. Whole pages where the
#: commands are those of another machine.
ELSEWHERE = {
    "make demo": "tests/integration/cli/test_demo.py",
    "make test": "this is it",
    "cli.md": "tests/integration/cli/test_verbs.py",
    "deploying.md": "tests/topology",
    "sandboxes.md": "tests/sandbox",
    "protocol.md": "tests/model",
    "crash-matrix.md": "tests/faults/test_crash_matrix.py",
    # A page and the number of a block.
    "your-repository.md-0": "tests/docs/test_first_branch.py",
    "api-examples.md-1": "tests/integration/api/test_generated_clients.py",
}
#: The state in which an agent is wanted by a command; any other command takes the completed one.
WANTED = {
    "kill": "running",
    "receipt": "killed",
    "diff": "rejected",
    "export": "rejected",
    "retry": "rejected",
}
#: These only look: the same line is run once, however often it stands on the pages.
_LOOKS = re.compile(r"orch (ls|doctor|queues|budget|gates|logs|healthy)( -| <|$)")
#: A program that is an agent by `command`.
AIDER = "#!/bin/sh\necho Hello > hello.txt\n"
GATES = """[tool.orchestrator.gates]
typecheck = "python3 -m compileall -q calc.py"
lint = "python3 -m compileall -q test_calc.py"
tests = "python3 -m unittest -q"
coverage = { command = "cp covered.json report.json", report = "report.json" }
"""
COVERED = {"totals": {"percent_covered": 100.0, "covered_lines": 2, "num_statements": 2}}
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_STEPS = "steps: [{{{}}}]"


@dataclass(frozen=True)
class Place:
    """A system, and everything that the commands of the pages find beside it."""

    system: System
    remote: Path
    checkout: Path
    agents: dict[str, str]

    def bash(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run lines of a page, in the checkout."""
        return subprocess.run(
            ["bash", "-c", script], cwd=self.checkout, env=self.system.env, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
        )  # fmt: skip

    def is_up(self) -> bool:
        """Return whether the system runs."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.system.api.rpartition(":")[2]))) == 0

    def spawn(self, steps: str, *, until: str | None = None) -> str:
        """Spawn an agent that plays these steps; wait for its end, or until it is in a state."""
        flags = {"max_retries": "0"}
        agent_id = self.system.spawn(self.remote, _STEPS.format(steps), **flags)
        if until is None:
            self.system.wait(agent_id)
        else:
            shown = f'"status": *"{until}"'
            eventually(lambda: re.search(shown, self.bash(f"orch status {agent_id} --json").stdout))
        return agent_id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("docs")
    tools = folder / "bin"
    tools.mkdir()
    programs = {"orch": f'#!/bin/sh\nexec {sys.executable} -m orchestrator.cli "$@"\n'}
    for name, content in (programs | {"aider": AIDER}).items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    remote = make_remote(
        folder, SAMPLE | {"pyproject.toml": GATES, "covered.json": json.dumps(COVERED)}
    )
    # Without a typecheck of its own: what `standard` asks for is missing.
    own = make_remote(folder / "own", SAMPLE)
    checkout = folder / "checkout"
    git("clone", "-q", str(own), str(checkout), cwd=folder)
    git("checkout", "-q", "-b", "work", cwd=checkout)
    (checkout / "calc.py").write_text("def add(a, b):\n    return b + a\n")
    git("commit", "-qam", "Turn", cwd=checkout)
    path = f"{tools}:{os.environ['PATH']}"
    with running(
        folder / "home", ORCHESTRATOR_AGENT="scripted", PATH=path, REPO=str(remote),
        PYTHONPATH=str(ROOT),
    ) as system:  # fmt: skip
        at = Place(system, remote, checkout, {})
        at.agents["completed"] = at.spawn("write: {path: a.txt, content: a}")
        at.agents["rejected"] = at.spawn("write: {path: calc.py, content: broken}")
        at.agents["killed"] = at.spawn("hang: true", until="running")
        system.orch("kill", at.agents["killed"])
        yield at
        if not at.is_up():
            system.orch("up", "--detach")


def blocks(page: Path) -> list[list[tuple[str, int]]]:
    """Return the command lines of a page with their exit codes, block by block."""
    found = []
    for _, block in _BLOCK.findall(page.read_text("utf-8")):
        lines = []
        for line in block.replace("\\\n", " ").splitlines():
            command, _, comment = line.strip().partition(" #")
            reported = re.search(r"^ ?exit code (\d+) on", comment)
            if command and not command.startswith("#"):
                lines.append((command.strip(), int(reported[1]) if reported else 0))
        found.append(lines)
    return found


def cases() -> Iterator[object]:
    """Return the blocks that have something to run here."""
    seen = set()
    for page in PAGES:
        if page.name in ELSEWHERE:
            continue
        for number, block in enumerate(blocks(page)):
            if f"{page.name}-{number}" in ELSEWHERE:
                continue
            lines = []
            for line, code in block:
                again = line.replace(".venv/bin/", "") in seen
                if not (again or line.startswith(tuple(ELSEWHERE))):
                    lines.append((line, code))
                if _LOOKS.match(line.replace(".venv/bin/", "")):
                    seen.add(line.replace(".venv/bin/", ""))
            if lines:
                yield pytest.param(page, lines, id=f"{page.name}-{number}")


@pytest.mark.parametrize(("page", "lines"), list(cases()))
def test_every_command_runs_as_its_page_says(place, page, lines):
    text = " ".join(line for line, _ in lines)
    is_started = "orch up" in text and "orch down" not in text.partition("orch up")[0]
    if place.is_up() == is_started:
        place.system.orch("down" if is_started else "up", *([] if is_started else ["--detach"]))
    script = []
    for line, code in lines:
        command = filled(place, line)
        script.append(f"{command}\nended=$?")
        words = shlex.quote(f"{page.name}: {line}: exit code")
        script.append(f'[ $ended = {code} ] || {{ echo {words} "$ended" >&2; exit 99; }}')
    ran = place.bash("\n".join(script))
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


def filled(place: Place, line: str) -> str:
    """Put what a reader would put into the places a page leaves open."""
    line = line.replace(".venv/bin/orch", "orch")
    line = line.replace("http://127.0.0.1:3001", place.system.api)
    if "<agentId>" in line:
        verb = line.split()[1]
        state = WANTED.get(verb, "completed")
        agent_id = place.agents.get(state) or place.spawn("hang: true", until="running")
        line = line.replace("<agentId>", agent_id)
    return line


def test_what_runs_elsewhere_is_named_rightly():
    """Nothing stands in the table that no page has."""
    lines = [line for page in PAGES for block in blocks(page) for line, _ in block]
    for name, where in ELSEWHERE.items():
        assert any(re.fullmatch(rf"{page.name}(-\d+)?", name) for page in PAGES) or any(
            line.startswith(name) for line in lines
        ), name
        assert not where.startswith("tests/") or (ROOT / where).exists()


def test_the_readmes_celery_client_runs(place):
    """Broker and backend, nothing of ours imported."""
    if not place.is_up():
        place.system.orch("up", "--detach")
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "/srv/git/shop.git" in snippet
    snippet = snippet.replace("/srv/git/shop.git", str(place.remote))
    addresses = json.loads(place.system.orch("env", "--json").stdout)
    # From elsewhere: neither our modules nor our celeryconfig are to be found.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", snippet], cwd=place.checkout, text=True, capture_output=True,
        timeout=300, check=True, env={**os.environ, **addresses},
    )  # fmt: skip
    assert re.fullmatch(r"completed agent/[0-9a-f-]{36} [0-9a-f]{40}\n", ran.stdout)
