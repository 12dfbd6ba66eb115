"""The keys of `orch top`, by Valkey and by HTTP: each acts on the selected agent."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.top import _read
from orchestrator.cli.top.agent_rows import AgentRows
from orchestrator.cli.top.app import TopApp
from orchestrator.errors import PushFailed
from orchestrator.models import LogLine, Status
from orchestrator.settings import load_settings
from orchestrator.store import agent_logs, agents, halt
from orchestrator.wiring import clock
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import fail, holder, spawn
from tests.unit.cli.test_top_screens import lines

__all__ = ["holder"]


@pytest.fixture(params=["valkey", "http"])
def client(request, store, valkey_url, tmp_path):
    environ = {"ORCHESTRATOR_HOME": str(tmp_path), "VALKEY_URL": valkey_url}
    if request.param == "valkey":
        with open_client(load_settings(environ), is_following=True) as opened:
            yield opened
        return
    with serving(valkey_url) as (http, _):
        named = {"ORCHESTRATOR_API_URL": str(http.base_url)}
        with open_client(load_settings({**environ, **named})) as opened:
            yield opened


class Screen:
    """Presses keys, and waits for what the terminal shows."""

    def __init__(self, app, pilot):
        self.app, self.press = app, pilot.press

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in lines(self.app))

    @property
    def selected(self):
        return self.app.query_one(AgentRows).selected_id

    async def until(self, is_there, end_s=240):
        end = time.monotonic() + end_s
        while not is_there(self):
            assert time.monotonic() < end, self.text
            await asyncio.sleep(0.02)

    async def shows(self, text):
        await self.until(lambda screen: text in screen.text)


def on_screen(client, play):
    """Run a coroutine on the screen of a terminal of 80 x 24 that is renewed all the time."""

    @asynccontextmanager
    async def opened():
        app = TopApp(client, lambda: _read(client), every_s=0.05, limit_s=5)
        async with app.run_test(size=(80, 24)) as pilot:
            try:
                yield Screen(app, pilot)
            finally:
                # As at the end of `run`: workers first. `run_test` removes widgets beside them.
                app.workers.cancel_all()

    async def run():
        async with opened() as screen:
            await play(screen)

    asyncio.run(run())


def printed(store, agent, *texts):
    found = [LogLine(at=clock(), source="agent", text=text) for text in texts]
    assert store.run(agent_logs.append_log(agent.agent_id, agent.attempt, found, cap=1000))


def test_arrows_select_and_enter_shows_the_end_of_a_log_that_follows(client, store, holder):
    ids = [spawn(store, task=f"t{number}") for number in range(2)]
    agent = holder.start(holder.claim(ids[0]), base_commit="b" * 40)
    printed(store, agent, *(f"line {number}" for number in range(100)), "\x1b[2J[bold]end")

    async def play(screen):
        await screen.shows("t1")
        await screen.press("home")
        seen = {screen.selected}
        await screen.press("down")
        seen.add(screen.selected)
        assert seen == set(ids)
        await screen.press("home")
        if screen.selected != agent.agent_id:
            await screen.press("down")
        await screen.press("enter")
        await screen.shows("[bold]end")
        assert "line 99" in screen.text
        assert "line 50" not in screen.text
        printed(store, agent, "and more")
        await screen.shows("and more")
        await screen.press("home")
        await screen.shows("line 0\n")
        printed(store, agent, "the newest")
        await screen.until(lambda _: store.follow(agent_logs.last_lines(agent.agent_id, 1)))
        await asyncio.sleep(0.3)
        # A reader who has scrolled up stays where he is.
        assert "line 0\n" in screen.text
        await screen.press("escape")
        await screen.shows("AGENT")
        assert screen.selected == agent.agent_id

    on_screen(client, play)


def test_why_names_the_command_and_a_missing_change_is_refused_in_one_line(client, store, holder):
    agent_id = spawn(store)
    fail(holder, agent_id, PushFailed())

    async def play(screen):
        await screen.shows(agent_id[:8])
        await screen.press("w")
        await screen.shows(f"orch retry {agent_id}")
        await screen.press("d")
        await screen.shows("[change_missing]")
        assert len(screen.text.splitlines()) == 24

    on_screen(client, play)


def test_a_kill_asks_with_the_name_of_the_agent(client, store):
    agent_id = spawn(store)

    async def play(screen):
        await screen.shows(agent_id[:8])
        await screen.press("k")
        await screen.shows(f"Kill agent {agent_id}")
        await screen.press("enter", "x", "n")
        await screen.shows("nothing was killed")
        assert store.run(agents.read(agent_id)).status is Status.SPAWNING
        await screen.press("k")
        await screen.shows(f"Kill agent {agent_id}")
        # It is renewed below the dialog.
        await asyncio.sleep(0.3)
        await screen.press("y")
        await screen.shows(f"agent {agent_id} killed successfully")
        await screen.shows("no agent is active")
        # The agent has left the list: no key acts on another one.
        await screen.press("k")
        await screen.shows("no agent is selected")

    on_screen(client, play)
    assert store.run(agents.read(agent_id)).status is Status.KILLED


def test_an_agent_that_leaves_the_list_leaves_no_other_selected(client, store):
    ids = [spawn(store) for _ in range(3)]

    async def play(screen):
        await screen.until(lambda seen: seen.selected)
        chosen = screen.selected
        spawn(store, repo="/srv/new.git")
        await screen.until(lambda seen: len(seen.app.query_one(AgentRows).options) == 4)
        assert screen.selected == chosen
        await screen.press("k", "y")
        await screen.until(lambda seen: len(seen.app.query_one(AgentRows).options) == 3)
        assert not screen.selected

    on_screen(client, play)
    assert sum(store.run(agents.read(one)).status is Status.KILLED for one in ids) <= 1


def test_retry_and_acknowledge_and_their_refusals(client, store, holder):
    agent_id = spawn(store)
    fail(holder, agent_id, PushFailed())

    async def play(screen):
        await screen.shows(agent_id[:8])
        await screen.press("a")
        await screen.shows(f"agent {agent_id} acknowledged")
        await screen.shows("no agent is active")
        waiting = spawn(store, task="waits")
        await screen.until(lambda seen: seen.selected == waiting)
        await screen.press("r")
        await screen.shows("[transition_refused]")
        await screen.press("a")
        await screen.shows("needs no attention")
        assert len(screen.text.splitlines()) == 24

    on_screen(client, play)


def test_retry_spawns_a_new_agent(client, store, holder):
    agent_id = spawn(store)
    fail(holder, agent_id, PushFailed())

    async def play(screen):
        await screen.shows(agent_id[:8])
        await screen.press("r")
        await screen.shows(f"agent {agent_id[:8]} retried as ")
        # The new agent is listed instead, and is not selected by itself.
        await screen.until(lambda seen: "queued" in seen.text)
        assert not screen.selected

    on_screen(client, play)


def test_halt_and_resume_ask_for_a_reason(client, store):
    async def play(screen):
        await screen.press("H")
        await screen.shows("Halt: ")
        await screen.press("enter", "escape")
        await screen.shows("nothing was changed")
        assert store.run(halt.find_halt()) is None
        await screen.press("H")
        await screen.shows("Enter go on")
        await screen.press(*"qk")
        await screen.shows("qk")
        await screen.press("enter")
        await screen.shows("halted")
        await screen.until(lambda _: store.run(halt.find_halt()) is not None)
        assert store.run(halt.find_halt()).why == "qk"
        await screen.press("R")
        await screen.shows("Enter go on")
        await screen.press(*"day", "enter")
        await screen.shows("resumed: 0 agents had been waiting")
        assert store.run(halt.find_halt()) is None

    on_screen(client, play)


def test_a_filter_lists_what_matches_until_it_is_ended(client, store):
    ids = [spawn(store, task=name) for name in ("apple", "pear")]

    async def play(screen):
        await screen.shows(ids[0][:8])
        await screen.press("slash", *"PEAR", "enter")
        await screen.until(lambda seen: ids[0][:8] not in seen.text)
        assert ids[1][:8] in screen.text
        await screen.press("slash", *"qq", "enter")
        await screen.shows("no agent matches")
        await screen.press("escape")
        await screen.shows(ids[0][:8])
        await screen.press("question_mark")
        await screen.shows("halt: admit and start no new agents")
        await screen.press("q")
        assert screen.app.is_running
        await screen.press("q")
        await screen.until(lambda seen: not seen.app.is_running)

    on_screen(client, play)
