"""What the pane of `orch top` shows of an agent, as lines of safe text."""

from __future__ import annotations

from orchestrator.cli.clients.interface import Client
from orchestrator.cli.commands.retained import outside_line
from orchestrator.cli.output.render import log_line
from orchestrator.cli.output.text import LINE_LIMIT, cut, one_line, plain, revealed

#: The newest lines of output that are read, again and again while they are shown.
_LOG_LINES = 500
#: A longer change is read in a pager.
_DIFF_LINES = 5000


def log_view(client: Client, agent_id: str) -> list[str]:
    """Return the newest lines of an agent's output."""
    found = client.log_end(agent_id, _LOG_LINES)
    # Cut before they are cleaned as well: cleaning ten megabytes takes seconds.
    texts = [plain(cut(log_line(line), 10 * LINE_LIMIT)) for line in found]
    return _lines("\n".join(texts)) or ["it has printed nothing"]


def diff_view(client: Client, agent_id: str) -> list[str]:
    """Return the change of an agent, and the commits outside it."""
    patch = revealed(client.patch(agent_id)).splitlines()
    shown = patch[:_DIFF_LINES]
    if left := len(patch) - len(shown):
        shown.append(f"and {left} more lines: orch diff {agent_id}")
    outside = [one_line(outside_line("diff", agent_id, it)) for it in client.retained(agent_id)]
    return _lines("\n".join([*shown, *outside]))


def why_view(client: Client, agent_id: str) -> list[str]:
    """Return the reason for an agent's state, and the one command that helps."""
    need = client.why(agent_id)
    return [one_line(need.why), "", one_line(need.command)]


def _lines(text: str) -> list[str]:
    return cut(text.expandtabs(), LINE_LIMIT).splitlines()
