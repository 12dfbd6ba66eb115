"""Logs: one JSON document a line, about one agent, without what we hold secret."""

from __future__ import annotations

import json
import subprocess
import sys

SECRETS = ("s3cret", 's3cret"with\nall\\ü')
PROGRAM = f"""
import logging
from orchestrator.log import about, configure_logging, get_logger

secrets = {SECRETS!r}
configure_logging(secrets=secrets)
with about("agent-1"):
    get_logger("component").info("ours", url="https://x:" + secrets[0] + "@host", given=secrets[1])
    logging.getLogger("library").warning("theirs %s", secrets[0])
    try:
        raise ValueError(secrets[1])
    except ValueError:
        get_logger("component").exception("fails")
get_logger("component").info("after")
"""


def test_each_line_names_its_agent_and_no_secret():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["ours", "theirs [secret]", "fails", "after"]
    assert [line.get("agentId") for line in lines] == ["agent-1"] * 3 + [None]
    assert "s3cret" not in ran.stderr
    assert "[secret]" in lines[2]["exception"]


DEFERRED = """
import logging, sys
from orchestrator.log import configure_when_needed, get_logger

log = get_logger("component")
configure_when_needed(level=logging.WARNING)
logging.getLogger("library").info("not shown")
log.info("not shown", of="us")
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
        [sys.executable, "-c", DEFERRED.format(first=first)],
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
