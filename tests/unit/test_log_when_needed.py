"""Logs are configured with the first line, of ours or of a library; before it nothing is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
from orchestrator.log import configure_when_needed, get_logger

log = get_logger("component")
configure_when_needed(level=logging.WARNING)
logging.getLogger("library").info("not shown")
print("structlog" in sys.modules)
{first}
print("structlog" in sys.modules)
log.info("not shown")
log.warning("ours", agentId="a")
logging.getLogger("library").warning("theirs %s", 1)
"""
FIRST = (
    'log.warning("first", of="us")',
    'logging.getLogger("library").warning("first %s", "line")',
)


def lines_of(first: str) -> list[dict[str, object]]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["False", "True"]
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_whoever_logs_first_configures_all():
    ours, theirs = map(lines_of, FIRST)
    assert [line["event"] for line in ours] == ["first", "ours", "theirs 1"]
    assert [line["event"] for line in theirs] == ["first line", "ours", "theirs 1"]
    assert ours[0]["component"] == "component"
    assert {line["level"] for line in (*ours, *theirs)} == {"warning"}
