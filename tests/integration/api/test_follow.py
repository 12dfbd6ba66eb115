"""Followers of logs get every line and the end."""

from __future__ import annotations

import json

from orchestrator.errors import AgentFailed
from tests.integration.api.conftest import frames, problem_of, run_to, say, serving, spawn


def test_a_follower_gets_every_line_as_it_comes_and_then_the_end(api, store, holder):
    agent = run_to(holder, spawn(api))
    say(store, agent, "before\nwith a newline", "<b>&")
    path, accept = f"/agents/{agent.agent_id}/logs", {"Accept": "text/event-stream"}
    with api.stream("GET", path, headers=accept) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        followed = frames(answer.iter_lines())
        event, first_id, line = next(followed)
        assert (event, line["text"], line["id"]) == ("log", "before\nwith a newline", first_id)
        assert next(followed)[2]["text"] == "<b>&"
        say(store, agent, "while following")
        assert next(followed)[2]["text"] == "while following"
        say(store, agent, "last words")
        holder.fail(agent, AgentFailed())
        assert next(followed)[2]["text"] == "last words"
        assert next(followed) == ("end", None, {"status": "failed"})
        assert next(followed, None) is None
    again = api.get(path, headers={**accept, "Last-Event-ID": first_id})
    texts = [data.get("text") for _, _, data in frames(again.text.splitlines())]
    assert texts == ["<b>&", "while following", "last words", None]
    bad = api.get(path, headers={**accept, "Last-Event-ID": "yesterday"})
    assert problem_of(bad, 422)["errors"][0]["path"] == "cursor"


def test_a_server_that_stops_ends_its_followers_cleanly(valkey_url):
    with serving(valkey_url) as (client, process):
        agent_id = spawn(client)
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/agents/{agent_id}/logs", headers=headers) as answer:
            lines = answer.iter_lines()
            # The first comment says that the follower waits in Valkey.
            assert next(lines).startswith(":")
            process.terminate()
            assert not any(line.startswith("event:") for line in lines)
        logged = [json.loads(line) for line in process.stderr]
        assert {line["level"] for line in logged} == {"info"}
