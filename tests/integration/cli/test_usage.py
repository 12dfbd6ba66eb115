"""`orch` says in one line what is wrong with its usage, its settings or its Valkey."""

from __future__ import annotations

import re
import subprocess
import sys

from orchestrator.cli.output.exit_codes import Exit
from tests.conftest import free_port
from tests.integration.cli.conftest import ORCH


def test_help_lists_every_command_and_imports_none(orch):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *ORCH[1:], "--help"],
        env=orch.env,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("up", "down", "demo", "doctor", "spawn", "wait", "status", "ls", "logs", "gates"):
        assert re.search(rf"^  {name} +[A-Z]", done.stdout, re.MULTILINE), name
    for heavy in ("pydantic", "redis", "celery", "rich"):
        assert f" {heavy}\n" not in done.stderr


def test_a_wrong_setting_is_one_line_that_names_it(orch):
    done = orch.run("ls", code=1, ORCHESTRATOR_PORT="many")
    assert done.stderr.startswith("orch: ORCHESTRATOR_PORT: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_valkey_that_is_away_is_one_line(orch):
    done = orch.run("ls", code=Exit.UNREACHABLE, VALKEY_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert len(done.stderr.splitlines()) == 1
    assert "does not answer" in done.stderr


def test_without_a_named_valkey_the_system_of_the_home_is_used_and_missed(orch):
    done = orch.run("ls", code=Exit.UNREACHABLE, VALKEY_URL=None)
    assert "orch up" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_usage_exits_2(orch):
    orch.run("nonsense", code=2)
    orch.run("ls", "--status", "dead", code=2)
    orch.run("wait", "x", "--timeout", "soon", code=2)
