"""A process of the system loads no package that it never uses: each takes memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator.sandboxes

WORKER = """
import runpy, sys
sys.argv = ["workers", "{command}", "--help"]
runpy.run_module("workers", run_name="__main__")
"""
STAGE = """
from orchestrator.settings import load_settings
from orchestrator.wiring.worker import build, load_stage
load_stage("{queue}")
services = build(load_settings(), worker="{queue}@here")
services.rescuer, services.kill_listener
"""
BUILT = "services.cleanup\n"
LOADED = """
import json, sys
sys.stderr.write("LOADED" + json.dumps(sorted(sys.modules)))
"""
#: Of Celery's own program: every command, and those of Flower.
PROGRAM = {"celery.bin.celery", "flower", "tornado.web"}
SERVERS = {"starlette", "uvicorn", "supervisor", "docker", "orchestrator.api"}
CLIENTS = {"requests", "tenacity", "httpx", "orchestrator.forges"}
STAGES = {
    *("orchestrator.stages.spawn.stage", "orchestrator.stages.gate_check.stage"),
    *("orchestrator.environments", "orchestrator.egress", "orchestrator.sandboxes"),
    *("kingfisher_sdk", "pathspec"),
}
#: Process → what it runs until it is ready, and what it must not have loaded then.
PROCESSES = {
    "scheduler": (
        WORKER.format(command="beat"),
        PROGRAM | SERVERS | CLIENTS | STAGES
        | {"orchestrator.stages", "orchestrator.leases", "orchestrator.workspace", "psutil"},
    ),
    "cleanup": (
        WORKER.format(command="worker") + STAGE.format(queue="cleanup") + BUILT,
        PROGRAM | SERVERS | CLIENTS | STAGES,
    ),
    "spawn": (
        WORKER.format(command="worker") + STAGE.format(queue="spawn"),
        PROGRAM | SERVERS
        | {"requests", "tenacity", "orchestrator.forges", "orchestrator.stages.gate_check.stage"},
    ),
    "gates": (
        WORKER.format(command="worker") + STAGE.format(queue="gates"),
        PROGRAM | SERVERS | {"orchestrator.stages.spawn.stage"},
    ),
    "api": (
        "import orchestrator.api.__main__\n",
        PROGRAM | CLIENTS | STAGES | {"celery", "kombu", "docker", "supervisor", "workers"},
    ),
    "process manager": (
        "import orchestrator.cli.local.process_manager\n",
        PROGRAM | CLIENTS | STAGES | {"celery", "redis", "pydantic", "orchestrator.store"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_loads_only_what_it_needs(process, tmp_path):
    program, forbidden = PROCESSES[process]
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program + LOADED],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VALKEY_HOST": "127.0.0.1"},
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "LOADED" in ran.stderr, ran.stderr
    loaded = json.loads(ran.stderr.partition("LOADED")[2])
    assert set(loaded) & forbidden == set()


def test_a_pool_loads_its_stage_before_it_forks():
    """So the first agent of a worker does not wait, and the children share the memory."""
    program = STAGE.format(queue="gates").partition("services")[0] + LOADED
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    loaded = set(json.loads(ran.stderr.partition("LOADED")[2]))
    assert {"orchestrator.stages.gate_check.stage", "orchestrator.gates.planning"} <= loaded


SCRIPT = """
import sys
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "script"})
print(*sys.modules)
"""


@pytest.mark.parametrize("script", ["_shim.py", "_init.py"])
def test_what_starts_with_each_program_of_an_agent_loads_no_slow_module(script):
    path = Path(orchestrator.sandboxes.__file__).with_name(script)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, str(path)],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    loaded = set(ran.stdout.split())
    assert "resource" in loaded
    assert loaded & {"contextlib", "enum", "re", "functools", "typing", "pathlib"} == set()
