"""Real repositories, unmodified but for `orch init`: an honest change, and changes that break them.

Run it with the paths of local clones. Each clone gets a bare remote, a checkout and a system in a
temporary folder. It prints one line of JSON and one row of a table for each repository.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.conftest import free_port
from tests.integration.conftest import git

ORCH = [sys.executable, "-m", "orchestrator.cli"]
#: Folders of modules that are not what a project delivers.
_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|docs?|examples?|benchmarks?|scripts|tasks|tools|alembic)(?:/|$)"
)
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test|tests?)\.py$")
_READY = re.compile(r"environment \w+ ready after ([\d.]+) s")
_PRE_COMMIT = ("typecheck", "lint", "tests")
_RAISE = "raise RuntimeError"


def main() -> None:
    """Try each repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", nargs="+", type=Path)
    parser.add_argument("--setting", action="append", default=[], help="NAME=VALUE for the system")
    parser.add_argument(
        "--mirror", action="append", default=[], help="ADDRESS=CLONE: the host has it already"
    )
    parser.add_argument("--folder", type=Path, help="use this folder, and leave it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (given.folder or Path(made)).absolute()
        folder.mkdir(exist_ok=True)
        env = {
            **os.environ,
            "ORCHESTRATOR_HOME": str(folder / "home"),
            "ORCHESTRATOR_PORT": str(free_port()),
            "VALKEY_PORT": str(free_port()),
            "ORCHESTRATOR_AGENT": "scripted",
            **dict(setting.split("=", 1) for setting in given.setting),
        }
        for address, _, clone in (one.rpartition("=") for one in given.mirror):
            name = f"home/mirrors/{hashlib.sha256(address.encode()).hexdigest()}.git"
            git("clone", "-q", "--mirror", "--no-local", f"file://{clone}", name, cwd=folder)
        started = orch(env, folder, "up", "--detach", "--json")
        if started.returncode:
            raise SystemExit(started.stderr)
        try:
            for clone in given.clones:
                found = Trial(clone.absolute(), folder, env).run()
                print(json.dumps(found), flush=True)
                print(row(found), flush=True)
        finally:
            orch(env, folder, "down")


def orch(env: Mapping[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the product."""
    return subprocess.run(
        [*ORCH, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


class Trial:
    """One repository, from `orch init` to its agents."""

    def __init__(self, clone: Path, folder: Path, env: Mapping[str, str]) -> None:
        self.name = clone.name.removesuffix(".git")
        self.remote, self.tree = folder / f"{self.name}.git", folder / self.name
        self.env = env
        git("clone", "-q", "--bare", "--no-local", f"file://{clone}", str(self.remote), cwd=folder)
        git("clone", "-q", str(self.remote), str(self.tree), cwd=folder)
        self.branch = git("symbolic-ref", "--short", "HEAD", cwd=self.tree)

    def run(self) -> dict[str, Any]:
        """Return everything that was measured."""
        commit = git("rev-parse", "HEAD", cwd=self.tree)
        ran = orch(self.env, self.tree, "init", "--json")
        proposed = json.loads(ran.stdout) if ran.stdout else {"error": ran.stderr}
        found: dict[str, Any] = {"name": self.name, "commit": commit, "init": proposed}
        found["setUpColdS"] = _seconds(ran.stderr)
        if not proposed.get("approvable"):
            return found
        git("add", "orchestrator.toml", cwd=self.tree)
        git("commit", "-q", "-m", "Configure", cwd=self.tree)
        git("push", "-q", "origin", f"HEAD:{self.branch}", cwd=self.tree)
        honest = honest_steps(self.tree)
        found["honest"] = [self.agent(honest), self.agent(honest)]
        found["byHandS"] = self.by_hand(proposed, honest)
        with ThreadPoolExecutor(2) as pool:
            broken = pool.map(self.agent, [package_steps(self.tree), test_steps(self.tree)])
            found["brokenPackage"], found["brokenTest"] = broken
        return found

    def agent(self, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Run one agent; return how it ended, and how long its environment and gates took."""
        item = json.dumps({"steps": [*steps, {"say": "done"}]})
        ran = orch(
            self.env, self.tree, "spawn", f"--repo={self.remote}", f"--branch={self.branch}",
            f"--item={item}", "--max-retries=0", "--wait", "--json",
        )  # fmt: skip
        ended = json.loads(ran.stdout)
        shown = orch(self.env, self.tree, "inspect", ended["agentId"], "--json")
        seen = json.loads(shown.stdout)
        log = orch(self.env, self.tree, "logs", ended["agentId"]).stdout
        gates = {g["name"]: g for report in seen["reports"] for g in report["gates"]}
        return {
            "status": ended["status"],
            "branch": ended["branch"] if ended["commit"] else None,
            "error": ended["error"],
            "environmentS": _seconds(log),
            "gatesS": _phase_s(seen["events"]),
            "gates": {name: gate["status"] for name, gate in gates.items()},
            "red": {n: g["detail"][:600] for n, g in gates.items() if g["status"] != "passed"},
            "durationsS": {name: gate["durationMs"] / 1000 for name, gate in gates.items()},
            "findings": [
                f["kind"] for report in seen["reports"] for f in report.get("findings", ())
            ],
        }

    def by_hand(self, proposed: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> float:
        """Return the seconds that the same commands take in the same environment, side by side."""
        roots = (Path(self.env["ORCHESTRATOR_HOME"]) / "environments").glob("*/venv")
        venv = max(roots, key=lambda path: path.stat().st_mtime, default=Path("none"))
        spent_s = 0.0
        gates = [gate for gate in proposed["gates"] if gate["status"] in ("passed", "red_before")]
        for stage in (True, False):
            chosen = [g for g in gates if (g["name"] in _PRE_COMMIT) is stage]
            with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as pool:
                places = [Path(folder, gate["name"]) for gate in chosen]
                for place in places:
                    git("clone", "-q", str(self.tree), str(place), cwd=self.tree)
                    for step in steps:
                        subprocess.run(["/bin/sh", "-c", step["run"]], cwd=place, check=True)
                started_s = time.monotonic()
                list(pool.map(_typed, chosen, places, [venv] * len(chosen)))
                spent_s += time.monotonic() - started_s
        return spent_s


def _typed(gate: Mapping[str, Any], place: Path, venv: Path) -> None:
    for command in gate["commands"]:
        env = {
            "PATH": f"{venv}/bin:{os.environ['PATH']}",
            "HOME": str(place.parent),
            "PYTHONPATH": f"{place}/src:{place}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        folder = place / (command["folder"] or "")
        subprocess.run(
            ["/bin/sh", "-c", command["command"]], cwd=folder, env=env, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _seconds(text: str) -> float | None:
    found = _READY.search(text)
    return float(found[1]) if found else None


def _phase_s(events: Sequence[Mapping[str, Any]]) -> float:
    """Return the time from the start of the gates to the next phase."""
    at = {e.get("phase"): datetime.fromisoformat(e["timestamp"]) for e in events}
    end = at.get("delivering") or at.get("ended") or at["gating"]
    return (end - at["gating"]).total_seconds()


# ── the changes ─────────────────────────────────────────────────────────────────────────────


def _modules(tree: Path) -> list[str]:
    """Return the modules of the packages that a project delivers."""
    paths = git("ls-files", "*.py", cwd=tree).splitlines()
    inside = [p for p in paths if not _ASIDE.search(p) and not _TEST_FILE.search(p)]
    packages = {p.rpartition("/")[0] for p in inside if p.endswith("/__init__.py")}
    found = [p for p in inside if p.rpartition("/")[0] in packages or p.startswith("src/")]
    return found or [p for p in inside if "/" not in p and p not in ("setup.py", "noxfile.py")]


def honest_steps(tree: Path) -> list[dict[str, Any]]:
    """Add a comment to the largest module."""
    largest = max(_modules(tree), key=lambda path: (tree / path).stat().st_size)
    return [{"run": f"printf '\\n# A note.\\n' >> {shlex.quote(largest)}"}]


def package_steps(tree: Path) -> list[dict[str, Any]]:
    """Replace every module by a statement that raises."""
    paths = shlex.join(_modules(tree))
    return [{"run": f'for file in {paths}; do echo "{_RAISE}" > "$file"; done'}]


def test_steps(tree: Path) -> list[dict[str, Any]]:
    """Let one test of each folder of tests fail."""
    steps: dict[str, dict[str, Any]] = {}
    for path in git("ls-files", "*.py", cwd=tree).splitlines():
        if _TEST_FILE.search(path) and (at := next(_bodies((tree / path).read_text()), None)):
            line, column = at
            blank = " " * column
            edit = f"{line}i\\{blank}raise AssertionError('broken')"
            home = path.split("/tests/")[0].split("/test")[0]
            steps.setdefault(home, {"run": f"sed -i {shlex.quote(edit)} {shlex.quote(path)}"})
    return list(steps.values())


def _bodies(text: str) -> Iterator[tuple[int, int]]:
    """Yield the line and the column of the first statement of each plain test."""
    module = ast.parse(text)
    classes = [c for c in module.body if isinstance(c, ast.ClassDef) and not c.decorator_list]
    for body in [module.body, *(one.body for one in classes)]:
        for node in body:
            if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                first = node.body[0]
                if node.name.startswith("test") and first.lineno > node.lineno:
                    yield first.lineno, first.col_offset


def row(found: Mapping[str, Any]) -> str:
    """Return a row of the table in the documentation."""
    init = found["init"]
    gates = init.get("gates", [])
    judged = [g["name"] + (" (red)" if g.get("status") == "red_before" else "") for g in gates
              if g.get("status") in ("passed", "red_before")]  # fmt: skip
    cells = [f"{found['name']} `{found['commit'][:12]}`", init.get("profile", "-"),
             ", ".join(judged), f"{found['setUpColdS']} s"]  # fmt: skip
    if "honest" in found:
        first, second = found["honest"]
        by_hand_s = found["byHandS"]
        ratio = f"{second['gatesS'] / by_hand_s:.2f}"
        cells += [
            f"{first['environmentS']} / {second['environmentS']} s",
            f"{first['gatesS']:.0f}, {second['gatesS']:.0f} / {by_hand_s:.0f} s ({ratio})",
            *(each["status"] for each in (first, second)),
            *(f"{found[key]['status']}: {', '.join(found[key]['red'])}"
              for key in ("brokenPackage", "brokenTest")),
        ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
