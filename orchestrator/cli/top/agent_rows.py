"""The list of agents of `orch top`; the selected one stays selected wherever it moves."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from orchestrator.cli.output.render import STYLES
from orchestrator.cli.output.top_text import NO_AGENT, Screen, agent_line, fitted
from orchestrator.models import AgentState


class AgentRows(OptionList):
    """One line for each agent, and one for those that were not read."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)
        self._ids: list[str] = []

    @property
    def selected_id(self) -> str:
        """The id of the selected agent; empty if none is."""
        option = self.highlighted_option
        return (option and option.id) or ""

    def show(self, facts: Screen, wanted: str, width: int) -> None:
        """List the agents with this text."""
        shown = [agent for agent in facts.agents if _has(facts, agent, wanted)]
        options = [Option(_line(agent, facts, width), agent.agent_id) for agent in shown]
        if facts.unlisted:
            text = f"and {facts.unlisted} more: orch ls"
            options.append(Option(fitted(text, width), disabled=True))
        elif not shown:
            text = "no agent matches" if facts.agents else NO_AGENT
            options.append(Option(fitted(text, width), disabled=True))
        was_empty, selected, top = not self._ids, self.selected_id, self.scroll_offset.y
        self._ids = [agent.agent_id for agent in shown]
        self.set_options(options)
        if selected in self._ids:
            self.highlighted = self._ids.index(selected)
        elif was_empty and self._ids:
            self.highlighted = 0
        # If the selected agent has left the list, none is: a key must not act on another one.
        self.scroll_to(y=top, animate=False)


def _line(agent: AgentState, facts: Screen, width: int) -> Text:
    text = agent_line(agent, facts, width)
    # The scroll bar takes a cell of a long list.
    return Text(text, style=STYLES[agent.status], no_wrap=True, overflow="crop")


def _has(facts: Screen, agent: AgentState, wanted: str) -> bool:
    need = facts.attention.get(agent.agent_id)
    text = (agent.agent_id, agent.task_id, agent.repository, agent.status, agent.phase)
    return wanted.casefold() in " ".join([*text, need.why if need else ""]).casefold()
