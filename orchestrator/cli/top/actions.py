"""What the keys of `orch top` do to an agent or the system; each returns one line about it."""

from __future__ import annotations

from orchestrator.cli.clients.interface import Client, KillOptions
from orchestrator.cli.output.top_text import SHORT_ID
from orchestrator.control.kill_switch import TIMEOUT_S


def kill(client: Client, agent_id: str) -> str:
    """Kill an agent, and wait until all its processes have ended."""
    client.kill(agent_id, KillOptions("", discard=False, timeout_s=TIMEOUT_S))
    return f"agent {agent_id} killed successfully"


def retry(client: Client, agent_id: str) -> str:
    """Spawn the request of an agent again; the new agent continues from the retained change."""
    new_id = client.retry(agent_id, is_afresh=False, may_edit=(), why="")
    return f"agent {agent_id[:SHORT_ID]} retried as {new_id}"


def acknowledge(client: Client, agent_id: str) -> str:
    """Acknowledge that an agent needs attention."""
    client.acknowledge(agent_id, "", for_s=None)
    return f"agent {agent_id} acknowledged"


def halt(client: Client, why: str) -> str:
    """Admit and start no new agents."""
    if client.halt(why):
        return "halted: nothing new is admitted until R"
    return "halted until R; Valkey keeps no append-only file: its restart lifts the halt"


def resume(client: Client, why: str) -> str:
    """Lift the halt."""
    return f"resumed: {client.resume(why)} agents had been waiting"
