"""Model, effort and fallback with real programs, git and Valkey, from the request to the commit."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from orchestrator.errors import RequestInvalid
from orchestrator.models import ModelChoice, Outcome, Phase, SpawnRequest, Status
from orchestrator.store import agents, changes
from orchestrator.store.agent_logs import read_log
from orchestrator.store.events import read_events
from orchestrator.store.kills import KillOrder, kill
from orchestrator.store.provider_limits import limit_provider, read_limits
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import Lab, write
from workers.raw_requests import register

#: Writes the model, the effort and its prompt into files.
WRITER = ["sh", "-c", 'echo "$1 $2" >made.txt; cat >prompt.txt', "sh", "{model}.", "{effort}."]
ARGV = "ORCHESTRATOR_BACKENDS__COMMAND__ARGV"


@pytest.fixture
def lab(tmp_path, valkey_url):
    return lambda argv=WRITER, **more: Lab(tmp_path, valkey_url, **{ARGV: json.dumps(argv)}, **more)


@pytest.fixture
def remote(tmp_path):
    return make_remote(tmp_path, SAMPLE)


def logged(one, agent_id):
    return "\n".join(line.text for line in one.store.follow(read_log(agent_id)))


def pushed(remote, agent, path):
    return git("show", f"{agent.commit}:{path}", cwd=remote)


def test_a_fallback_goes_on_with_the_work_of_another_backend(lab, remote):
    one = lab()
    agent_id = one.spawn(
        remote,
        write("half.txt", "half"),
        {"say": "Half."},
        {"limited": 3600},
        fallback=[{"agent": "command", "model": "m-1"}],
    )
    limited = one.work(agent_id)
    assert (limited.agent, limited.model) == ("command", "m-1")
    assert (limited.status, limited.recoveries) == (Status.RUNNING, 0)
    assert limited.session_id == "scripted-1"
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error

    # The work of the first program is there, and the second one was told so.
    assert pushed(remote, agent, "half.txt") == "half"
    assert pushed(remote, agent, "made.txt") == "m-1."
    assert "cannot be resumed" in pushed(remote, agent, "prompt.txt")
    trailers = git("log", "-1", "--format=%(trailers:only,unfold)", agent.commit, cwd=remote)
    assert trailers.splitlines()[-2:] == [
        "Agent-Model: command:m-1",
        "Agent-Fallback: scripted to command:m-1",
    ]
    [report] = one.store.run(changes.read_reports(agent_id))
    assert (report.agent, report.model) == ("command", "m-1")
    assert report.fell_back == agent.fell_back
    outcome = Outcome.of(agent)
    assert (outcome.agent, outcome.model, outcome.fell_back) == ("command", "m-1", agent.fell_back)
    stored = json.loads(one.store._client.call("GET", f"celery-task-meta-{agent_id}"))
    assert stored["result"]["fellBack"][0]["to"] == "command:m-1"

    events = [found.event for found in one.store.run(read_events(after="0-0"))]
    [told] = [event for event in events if event.type == "agent.fallback"]
    assert told.reason.startswith("The provider of scripted is at its limit until")
    [lost] = [event for event in events if event.error_code == "session_lost"]
    assert "Its session is one of scripted" in lost.error
    assert events[0].agent == "scripted"
    assert (events[-1].agent, events[-1].model) == ("command", "m-1")


def test_a_fallback_before_any_work_begins_afresh(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, {"limited": 3600}, fallback=[{"agent": "command"}])
    one.work(agent_id)
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    assert pushed(remote, agent, "made.txt") == ""


def test_a_kill_during_a_fallback_is_final(lab, remote):
    one = lab()
    agent_id = one.spawn(remote, {"limited": 3600}, fallback=[{"agent": "command"}])
    waits = one.work(agent_id)
    order = KillOrder(by="ann", why="enough")
    now = one.services.runner.holder.clock()
    one.store.run(kill([waits], order, now=now, tags=["tag"]))
    assert one.work(agent_id).status is Status.KILLED


def test_fallbacks_whose_programs_are_missing_are_left_out(lab, remote):
    one = lab(["no-such-program", "{model}"])
    fallback = [{"agent": "command", "model": "m"}, {"agent": "claude"}]
    agent_id = one.spawn(remote, {"limited": 3600}, fallback=fallback)
    for agent in ("command", "claude", "scripted"):
        assert one.work(agent_id).agent == agent
    waits = one.state(agent_id)
    assert (waits.phase, waits.recoveries) == (Phase.AWAITING_REWORK, 0)
    assert [choice.name for choice in waits.choices] == ["scripted"]
    reasons = [
        found.event.reason
        for found in one.store.run(read_events(after="0-0"))
        if found.event.type == "agent.fallback"
    ]
    assert "There is no program 'no-such-program'" in reasons[1]
    assert "CLAUDE_API_KEY is not set" in reasons[2]
    # It waits; nothing starts it before.
    assert one.work(agent_id).attempt == waits.attempt


def with_agents(tmp_path, text):
    return make_remote(tmp_path / "own", {**SAMPLE, "orchestrator.toml": f"[agents]\n{text}\n"})


def done(one, agent_id):
    one.work(agent_id)
    agent = one.evaluate(agent_id)
    assert agent.status is Status.COMPLETED, agent.error
    return agent


def test_the_request_precedes_the_repository_and_that_the_settings(lab, tmp_path):
    remote = with_agents(tmp_path, 'model = "of-repo"\neffort = "low"')
    defaults = {"worker": {"agent": "command", "model": "of-settings", "effort": "high"}}
    one = lab(ORCHESTRATOR_MODELS=json.dumps(defaults))
    by_repository = done(one, one.spawn(remote))
    assert (by_repository.model, by_repository.effort) == ("of-repo", "low")
    assert pushed(remote, by_repository, "made.txt") == "of-repo. low."
    by_request = done(one, one.spawn(remote, model="of-request"))
    assert pushed(remote, by_request, "made.txt") == "of-request. low."
    plain = make_remote(tmp_path / "plain", SAMPLE)
    by_settings = done(one, one.spawn(plain))
    assert pushed(plain, by_settings, "made.txt") == "of-settings. high."


def test_a_model_of_the_repository_that_the_backend_does_not_take_is_told(lab, tmp_path):
    remote = with_agents(tmp_path, 'model = "of-repo"')
    one = lab()
    agent = done(one, one.spawn(remote, write("a.txt", "a"), {"say": "A."}))
    assert agent.model is None
    fault = "orchestrator.toml [agents] model is not applied: the backend scripted takes no model"
    assert fault in logged(one, agent.agent_id)


def test_the_limit_of_a_model_of_the_repository_holds_before_its_start(lab, tmp_path):
    remote = with_agents(tmp_path, 'model = "of-repo"')
    one = lab()
    now = one.services.runner.holder.clock()
    choice = ModelChoice(agent="command", model="of-repo")
    one.store.run(limit_provider(choice, until=now + timedelta(hours=1), now=now))
    agent_id = one.spawn(remote, agent="command", fallback=[{"model": "small"}])
    falls_back = one.work(agent_id)
    assert (falls_back.model, falls_back.started_at) == ("small", None)
    assert [one.name for one in falls_back.choices] == ["command:of-repo", "command:small"]
    assert one.store.run(read_limits()).keys() == {"command:of-repo"}
    agent = done(one, agent_id)
    assert pushed(remote, agent, "made.txt") == "small."


def test_a_retry_keeps_model_effort_and_fallback(lab, remote):
    one = lab(["sh", "-c", "exit 7", "sh", "{model}", "{effort}"])
    given = {"model": "m", "effort": "high", "fallback": [{"model": "n"}]}
    agent_id = one.spawn(remote, agent="command", **given)
    assert one.work(agent_id).status is Status.FAILED
    flow = one.services.submit_service.retry(
        agent_id, is_afresh=False, retain_s=60, by="ann", why=""
    )
    again = one.state(one.store.follow(flow).agent_id)
    assert (again.agent, again.model, again.effort) == ("command", "m", "high")
    request: SpawnRequest = one.store.run(agents.read_request(again.agent_id))
    assert (request.model, request.effort, len(request.fallback)) == ("m", "high", 1)


def test_a_raw_request_is_checked_as_one_over_http(lab, remote):
    one = lab()
    context = {"repository": str(remote), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context, "agent": "command"}
    with pytest.raises(RequestInvalid, match="model: the backend scripted takes no model"):
        register(one.services, "raw-1", {**body, "agent": "scripted", "model": "m"}, None)
    register(one.services, "raw-1", {**body, "model": "m", "fallback": [{"model": "n"}]}, None)
    state = one.state("raw-1")
    assert (state.model, [choice.model for choice in state.choices]) == ("m", ["m", "n"])
