"""A repository's environment: set up once, used by agents and gates, never part of a change."""

from __future__ import annotations

import json
import time
import uuid
import zipfile
from pathlib import Path

import pytest

from tests.integration.conftest import System, git, make_remote, running

#: A build backend without requirements, which installs `src` in place.
BACKEND = """\
import zipfile
from pathlib import Path
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, name), "w") as wheel:
        wheel.writestr("shop.pth", str(Path("src").resolve()))
        info = "shop-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: shop\\n"
                       "Version: 1.0\\nRequires-Dist: tinydep\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
build_wheel = build_editable
"""
PYTHON = {
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
    "backend-path = ['.']\n[project]\nname = 'shop'\nversion = '1.0'\ndependencies = ['tinydep']\n",
    "backend.py": BACKEND,
    "src/shop/__init__.py": "import tinydep\nfrom importlib.metadata import version\n"
    "def price(): return tinydep.ONE if version('shop') == '1.0' else 0\n",
    "tests/test_shop.py": "import unittest, shop\nclass T(unittest.TestCase):\n"
    "    def test(self): self.assertEqual(shop.price(), 1)\n",
    "orchestrator.toml": "[gates]\ntests = 'python3 -m unittest discover -v tests'\n",
}
NODE = {
    "package.json": '{"name": "web", "scripts": {"test": "node --test"},'
    ' "dependencies": {"dep": "file:./dep"}}',
    "dep/package.json": '{"name": "dep", "version": "1.0.0", "main": "i.js"}',
    "dep/i.js": "module.exports = 1;\n",
    "test/a.test.js": "const test = require('node:test');\n"
    "test('a', () => require('node:assert').equal(require('dep'), 1));\n",
}
WRITES = {"write": {"path": "a.txt", "content": "a"}}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """Make a folder with one wheel, as an index of the operator's."""
    folder: Path = tmp_path_factory.mktemp("wheels")
    info = "tinydep-1.0.dist-info/"
    with zipfile.ZipFile(folder / "tinydep-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinydep.py", "ONE = 1\n")
        wheel.writestr(f"{info}METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}WHEEL", tags)
        wheel.writestr(f"{info}RECORD", "")
    return folder


@pytest.fixture(scope="module")
def system(tmp_path_factory, wheels):
    with running(
        tmp_path_factory.mktemp("environments") / "home",
        ORCHESTRATOR_AGENT="scripted",
        ORCHESTRATOR_PROCESS_READABLE=str(wheels),
        ORCHESTRATOR_SETUP_VARIABLES="PIP_FIND_LINKS PIP_NO_INDEX",
        PIP_FIND_LINKS=str(wheels),
        PIP_NO_INDEX="1",
    ) as system:
        yield system


def kept(system: System) -> set[Path]:
    return set((system.home / "environments").glob("*"))


def spawned(system: System, remote: Path, script: str) -> str:
    asked = ("--repo", str(remote), "--branch=main", "--item", script, f"--task={uuid.uuid4()}")
    ran = system.orch("spawn", *asked, "--gate-profile=minimal", "--max-retries=0", "--json")
    return str(json.loads(ran.stdout)["agentId"])


def gates(system: System, agent_id: str) -> list[dict[str, object]]:
    reports = json.loads(system.orch("gates", agent_id, "--json").stdout)["reports"]
    return [gate for report in reports for gate in report["gates"]]


def changed(remote: Path, branch: str) -> list[str]:
    return git("diff", "--name-only", "main", branch, cwd=remote).splitlines()


def test_a_project_is_installed_once_with_its_dependencies(system, tmp_path, script):
    remote = make_remote(tmp_path, PYTHON)
    run = {"run": "python3 -c 'import shop; assert shop.price() == 1' && ! touch $VIRTUAL_ENV/x"}
    first = spawned(system, remote, script(run, WRITES))
    outcome = system.wait(first)
    assert outcome["status"] == "completed", outcome["error"]
    assert changed(remote, outcome["branch"]) == ["a.txt"]
    assert "is set up" in system.orch("logs", first).stdout
    second = spawned(system, remote, script(WRITES))
    assert system.wait(second)["status"] == "completed"
    said = system.orch("logs", second).stdout
    assert " ready after " in said
    assert "is set up" not in said


def test_the_files_of_the_change_are_imported_and_no_copy_of_them(system, tmp_path, script):
    remote = make_remote(tmp_path, PYTHON)
    broken = {"write": {"path": "src/shop/__init__.py", "content": "raise RuntimeError\n"}}
    agent_id = spawned(system, remote, script(broken))
    assert system.wait(agent_id)["errorCode"] == "gates_rejected"
    (gate,) = gates(system, agent_id)
    assert gate["status"] == "failed"
    moved = spawned(system, remote, script({"run": "mv src elsewhere"}))
    assert system.wait(moved)["errorCode"] == "gates_rejected"


def test_node_modules_are_placed_for_the_agent_and_the_gates(system, tmp_path, script):
    work = tmp_path / "lock"
    for path, text in NODE.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text)
    lock = {
        "name": "web", "lockfileVersion": 3, "requires": True,
        "packages": {
            "": {"name": "web", "dependencies": {"dep": "file:./dep"}},
            "dep": {"version": "1.0.0"},
            "node_modules/dep": {"resolved": "dep", "link": True},
        },
    }  # fmt: skip
    remote = make_remote(tmp_path, {**NODE, "package-lock.json": json.dumps(lock)})
    run = {"run": "node -e 'process.exit(require(\"dep\") - 1)' && touch node_modules/mine"}
    agent_id = spawned(system, remote, script(run, WRITES))
    outcome = system.wait(agent_id)
    assert outcome["status"] == "completed", outcome["error"]
    assert changed(remote, outcome["branch"]) == ["a.txt"]
    (gate,) = gates(system, agent_id)
    assert gate["command"] == "npm run --silent test"
    # The link of the environment leads to the package of the change, not to that of the base.
    broken = {"write": {"path": "dep/i.js", "content": "throw new Error();\n"}}
    assert system.wait(spawned(system, remote, script(broken)))["errorCode"] == "gates_rejected"


OWN = {
    "orchestrator.toml": "[environment]\nsetup = ['mkdir -p gen && echo 1 > gen/made', 'cp v w']\n"
    "files = ['v']\nvariables = {COLOUR = 'blue'}\n"
    "[hooks]\nbefore_run = 'test \"$COLOUR\" = blue'\n"
    "[gates]\ntests = 'test \"$COLOUR$(cat gen/made)\" = blue1'\n",
    "v": "1\n",
}


def test_the_repositorys_own_set_up_and_variables_serve_hooks_agents_and_gates(
    system, tmp_path, script
):
    remote = make_remote(tmp_path, OWN)
    agent_id = spawned(system, remote, script({"run": 'test "$COLOUR$(cat gen/made w)" != x'},
                                              {"run": "echo 2 > gen/other"}, WRITES))  # fmt: skip
    outcome = system.wait(agent_id)
    assert outcome["status"] == "completed", outcome["error"]
    # Nothing of what the set-up made is part of the change, though no .gitignore names it.
    assert changed(remote, outcome["branch"]) == ["a.txt"]


def test_a_failed_set_up_names_command_output_and_who_has_to_act(system, tmp_path, script):
    files = {**PYTHON, "backend.py": BACKEND.replace("tinydep", "no-such-dep")}
    agent_id = spawned(system, make_remote(tmp_path, files), script(WRITES))
    outcome = system.wait(agent_id)
    assert outcome["errorCode"] == "environment_failed"
    for words in ("pip install", "no-such-dep", "fix the repository"):
        assert words in outcome["error"]
    state = json.loads(system.orch("status", agent_id, "--json").stdout)
    assert "startedAt" not in state
    assert state["usage"]["totalTokens"] == 0
    assert not [
        at for at in kept(system) if at.is_dir() and not at.with_name(f"{at.name}.json").exists()
    ]


def test_agents_that_start_together_wait_for_one_set_up(system, tmp_path, script):
    count = "sleep 2; date +%s%N > gen"
    toml = f"[environment]\nsetup = '{count}'\n[gates]\ntests = 'cat gen'\n"
    remote = make_remote(tmp_path, {"orchestrator.toml": toml})
    together = [spawned(system, remote, script(WRITES)) for _ in range(3)]
    assert {system.wait(agent_id)["status"] for agent_id in together} == {"completed"}
    said = [system.orch("logs", agent_id).stdout for agent_id in together]
    assert sum("is set up" in lines for lines in said) == 1


def test_a_killed_set_up_leaves_nothing_and_the_next_agent_makes_it(system, tmp_path, script):
    gate = "[gates]\ntests = 'true'\n"
    toml = f"[environment]\nsetup = 'echo $$ > mark; sleep 600'\nfiles = ['v']\n{gate}"
    remote = make_remote(tmp_path, {"orchestrator.toml": toml, "v": ""})
    before = kept(system)
    agent_id = spawned(system, remote, script(WRITES))
    deadline = time.monotonic() + 60
    while not (marks := list((system.home / "environments").glob("*/tree/mark"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    system.orch("kill", agent_id)
    while marks[0].exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not {at for at in kept(system) - before if at.suffix != ".lock"}
