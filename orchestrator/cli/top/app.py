"""The screen of `orch top` on a terminal: a list of agents, and keys that act on the selected one.

Each key makes the call of the client that its command makes, in a thread: the screen stays alive.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input, RichLog, Static

from orchestrator.cli.clients.interface import Client
from orchestrator.cli.deadline import limiting_each_answer
from orchestrator.cli.output.error_report import about, coded
from orchestrator.cli.output.text import one_line
from orchestrator.cli.output.top_text import Screen, fitted, head_lines, heading_line
from orchestrator.cli.top import actions
from orchestrator.cli.top.agent_rows import AgentRows
from orchestrator.cli.top.dialogs import Confirmation, KeyList, ReasonDialog
from orchestrator.cli.top.views import diff_view, log_view, why_view
from orchestrator.errors import ApiUnreachable, OrchestratorError, StoreUnreachable
from orchestrator.models import AgentState

T = TypeVar("T")
#: A view of an agent: its client and id → its lines.
View = Callable[[Client, str], list[str]]

_KEYS = """\
↑ ↓ PgUp PgDn Home End   select an agent, or scroll the pane
Enter, l   newest lines of its log; they follow
d          its change
w          why it is in this state, and the command that helps
Esc        close the pane, or end the filter
k          kill it, after a confirmation
r          retry it: a new agent continues its change
a          acknowledge that it needs attention
H          halt: admit and start no new agents; asks for a reason
R          resume: lift a halt; asks for a reason
/          list only agents with a text in id, task, repository, state, why
q          quit"""
_PATCH_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class TopApp(App[OrchestratorError]):
    """Shows the fleet until a key ends it; returns the error that ended it, if one did."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headings { text-style: bold; }
    AgentRows {
        height: 1fr; scrollbar-size-vertical: 1; text-wrap: nowrap; text-overflow: clip;
    }
    AgentRows > .option-list--option-highlighted { text-style: reverse; }
    AgentRows:focus > .option-list--option-highlighted { text-style: reverse; }
    #title { text-style: bold; }
    RichLog { height: 1fr; scrollbar-size-vertical: 1; }
    #title, RichLog, #filter { display: none; }
    Screen.has-pane #title, Screen.has-pane RichLog { display: block; }
    Screen.has-pane AgentRows, Screen.has-pane #headings { display: none; }
    Screen.is-filtered #filter { display: block; }
    #message { min-height: 1; max-height: 3; text-style: bold; }
    ModalScreen { align: center middle; }
    ModalScreen > Vertical {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: solid ansi_bright_blue; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "open_log", "Log"),
        Binding("d", "open_diff", "Diff"),
        Binding("w", "open_why", "Why"),
        Binding("k", "kill", "Kill"),
        Binding("r", "retry", "Retry"),
        Binding("a", "acknowledge", "Ack"),
        Binding("H", "halt", "Halt"),
        Binding("R", "resume", "Resume"),
        Binding("slash", "filter", "Filter"),
        Binding("question_mark", "keys", "Keys"),
        Binding("q,Q,ctrl+d", "quit", "Quit"),
        Binding("escape", "leave", "Back", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        client: Client,
        read: Callable[[], Screen],
        *,
        every_s: float,
        limit_s: float,
    ) -> None:
        super().__init__(ansi_color=True)
        # The colours of the terminal, and no animation: over ssh each frame is sent.
        self.theme, self.animation_level = "ansi-dark", "none"
        self.is_interrupted = False
        self._client = client
        self._read = read
        self._every_s = every_s
        self._limit_s = limit_s
        self._facts = read()
        self._old_because = ""
        self._opened: tuple[View, str] | None = None
        self._written: list[str] = []

    # ── the screen ──────────────────────────────────────────────────────────────────────────

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="head", markup=False)
        yield Static(id="headings", markup=False)
        yield AgentRows()
        yield Static(id="title", markup=False)
        yield RichLog(wrap=True, min_width=1, auto_scroll=False)
        yield Static(id="message", markup=False)
        yield Input(id="filter", placeholder="text of the agents to list", compact=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show the facts, and read them again and again."""
        self.query_one(AgentRows).focus()
        self._show()
        self.run_worker(self._keep_current())

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        self._show()

    async def _keep_current(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.action_interrupt)
        try:
            while True:
                await asyncio.sleep(self._every_s)
                await self._refresh()
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def _refresh(self) -> None:
        try:
            self._facts, self._old_because = await self._ask(self._read), ""
            if self._opened and self._opened[0] is log_view:
                await self._fill(*self._opened)
        except (StoreUnreachable, ApiUnreachable) as error:
            # What was seen last remains, with the reason.
            self._old_because = error.detail
        except OrchestratorError as error:
            self.exit(error)
        self._show()

    def _show(self) -> None:
        width = self.size.width
        head = head_lines(self._facts, width, away=self._old_because)
        self.query_one("#head", Static).update("\n".join(head))
        self.query_one("#headings", Static).update(f"\n{heading_line(width)}")
        wanted = self.query_one(Input).value.strip()
        self.query_one(AgentRows).show(self._facts, wanted, width)

    def _selected(self) -> AgentState | None:
        """Return the agent that keys act on; report that none is selected."""
        name = self._opened[1] if self._opened else self.query_one(AgentRows).selected_id
        found = next((one for one in self._facts.agents if one.agent_id == name), None)
        if found is None:
            self._report("no agent is selected")
        return found

    def _report(self, text: str) -> None:
        self.query_one("#message", Static).update(one_line(text))

    # ── calls ───────────────────────────────────────────────────────────────────────────────

    async def _ask(self, call: Callable[[], T]) -> T:
        def in_thread() -> T:
            # The command's own wait is that of one thread.
            with limiting_each_answer(self._limit_s):
                return call()

        return await asyncio.get_running_loop().run_in_executor(None, in_thread)

    # ── the pane ────────────────────────────────────────────────────────────────────────────

    def action_open_log(self) -> None:
        """Show the newest lines of the log."""
        self._open("log", log_view)

    def on_option_list_option_selected(self) -> None:
        """Show the log: Enter was pressed."""
        self.action_open_log()

    def action_open_diff(self) -> None:
        """Show the change."""
        self._open("change", diff_view)

    def action_open_why(self) -> None:
        """Show the reason for the state."""
        self._open("why", why_view)

    def _open(self, name: str, view: View) -> None:
        if agent := self._selected():
            self.run_worker(self._show_view(name, view, agent), exclusive=True, group="pane")

    async def _show_view(self, name: str, view: View, agent: AgentState) -> None:
        self._report(f"reading: {name}")
        try:
            lines = await self._ask(lambda: view(self._client, agent.agent_id))
        except OrchestratorError as error:
            self._report(about(coded(error), agent.agent_id))
            return
        self._report("")
        self._opened = view, agent.agent_id
        title = f"{name} of {agent.agent_id} · {agent.task_id} · Esc closes"
        self.query_one("#title", Static).update(f"\n{fitted(title, self.size.width)}")
        self.default_screen.add_class("has-pane")
        pane = self.query_one(RichLog)
        pane.focus()
        self._written = []
        self._write(lines, at_end=view is log_view)

    async def _fill(self, view: View, agent_id: str) -> None:
        """Read the pane again; it follows the end if it shows the end."""
        at_end = self.query_one(RichLog).is_vertical_scroll_end
        lines = await self._ask(lambda: view(self._client, agent_id))
        if self._opened == (view, agent_id):
            self._write(lines, at_end=at_end)

    def _write(self, lines: list[str], *, at_end: bool) -> None:
        pane = self.query_one(RichLog)
        if lines == self._written:
            return
        self._written, top = lines, pane.scroll_offset.y
        is_patch = self._opened is not None and self._opened[0] is diff_view
        pane.clear()
        for line in lines:
            pane.write(Text(line, style=_PATCH_STYLES.get(line[:1], "") if is_patch else ""))
        # After the layout: a pane that was hidden has no size yet.
        if at_end:
            self.call_after_refresh(pane.scroll_end, animate=False)
        else:
            self.call_after_refresh(pane.scroll_to, y=top, animate=False)

    def action_leave(self) -> None:
        """Close the pane, else end the filter."""
        if self._opened:
            self._opened = None
            self.default_screen.remove_class("has-pane")
        else:
            self.query_one(Input).value = ""
            self.default_screen.remove_class("is-filtered")
        self.query_one(AgentRows).focus()
        self._report("")

    # ── actions ─────────────────────────────────────────────────────────────────────────────

    def action_kill(self) -> None:
        """Kill the selected agent, after a confirmation."""
        if agent := self._selected():

            def go_on(is_sure: bool | None) -> None:  # noqa: FBT001 - the dialog's result
                if is_sure:
                    self.run_worker(self._do(actions.kill, "killing", agent.agent_id))
                else:
                    self._report("nothing was killed")

            what = one_line(f"{agent.agent_id} (task {agent.task_id}, {agent.repository})")
            self.push_screen(Confirmation(f"Kill agent {what}?"), go_on)

    def action_retry(self) -> None:
        """Spawn the request of the selected agent again."""
        if agent := self._selected():
            self.run_worker(self._do(actions.retry, "retrying", agent.agent_id))

    def action_acknowledge(self) -> None:
        """Acknowledge that the selected agent needs attention."""
        if agent := self._selected():
            self.run_worker(self._do(actions.acknowledge, "acknowledging", agent.agent_id))

    def action_halt(self) -> None:
        """Admit and start no new agents."""
        title = "Halt: admit and start no new agents. Running agents continue."
        self._with_reason(title, actions.halt)

    def action_resume(self) -> None:
        """Lift the halt."""
        title = "Resume: lift a halt. Agents that waited for it start."
        self._with_reason(title, actions.resume)

    def _with_reason(self, title: str, act: Callable[[Client, str], str]) -> None:
        def go_on(why: str | None) -> None:
            if why:
                self._report(title)
                self.run_worker(self._finish(lambda: act(self._client, why)))
            else:
                self._report("nothing was changed")

        self.push_screen(ReasonDialog(title), go_on)

    async def _do(self, act: Callable[[Client, str], str], doing: str, agent_id: str) -> None:
        self._report(f"{doing} {agent_id}")
        await self._finish(lambda: act(self._client, agent_id), agent_id)

    async def _finish(self, call: Callable[[], str], agent_id: str = "") -> None:
        """Report what a call did, or its refusal, in one line."""
        try:
            self._report(await self._ask(call))
        except OrchestratorError as error:
            self._report(about(coded(error), agent_id))
        await self._refresh()

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def action_filter(self) -> None:
        """Ask for the text of the agents to list."""
        if not self._opened:
            self.default_screen.add_class("is-filtered")
            self.query_one(Input).focus()

    @on(Input.Changed, "#filter")
    def show_matching(self) -> None:
        """List the agents with this text."""
        self._show()

    @on(Input.Submitted, "#filter")
    def end_typing(self) -> None:
        """Go back to the list, which stays filtered."""
        self.query_one(AgentRows).focus()
        if not self.query_one(Input).value.strip():
            self.action_leave()

    def action_keys(self) -> None:
        """List the keys."""
        self.push_screen(KeyList(_KEYS))

    def action_interrupt(self) -> None:
        """End as Ctrl-C ends a command."""
        self.is_interrupted = True
        self.exit()
