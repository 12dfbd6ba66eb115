"""`orch spawn --model --effort --fallback`, and `orch models`."""

from __future__ import annotations

import json

from tests.integration.api.conftest import serving
from tests.integration.cli.conftest import REQUEST

OPTIONS = {
    "ORCHESTRATOR_BACKENDS__COMMAND__ARGV": '["sh", "{model}", "{effort}"]',
    "ORCHESTRATOR_MODELS": '{"worker": {"agent": "command", "model": "m"}}',
}


def test_spawn_names_model_effort_and_fallbacks(orch):
    orch.env |= OPTIONS
    options = ("--model", "a:b", "--effort", "high", "--fallback", "scripted")
    more = ("--fallback", "command:c:d", "--fallback", ":e")
    agent_id = orch.spawn(*options, *more)
    state = orch.json("status", agent_id)
    assert (state["agent"], state["model"], state["effort"]) == ("command", "a:b", "high")
    assert state["choices"][1:] == [
        {"agent": "scripted"},
        {"agent": "command", "model": "c:d", "effort": "high"},
        {"agent": "command", "model": "e", "effort": "high"},
    ]
    assert orch.json("ls")["agents"][0]["model"] == "a:b"
    inspected = orch.json("inspect", agent_id)
    assert inspected["agent"]["model"] == inspected["request"]["model"] == "a:b"
    assert inspected["events"][0]["model"] == "a:b"


def test_a_wrong_fallback_says_how_one_is_written(orch):
    for wrong in ("", ":", "command:"):
        done = orch.run("spawn", *REQUEST, "--fallback", wrong, code=2)
        assert "must be AGENT, AGENT:MODEL or :MODEL" in done.stderr
    for name in ("--model", "--effort"):
        assert "is empty" in orch.run("spawn", *REQUEST, name, "", code=2).stderr


def test_a_model_that_is_not_offered_is_refused(orch):
    done = orch.run("spawn", *REQUEST, "--agent", "scripted", "--model", "m", code=2)
    assert done.stderr.strip() == (
        "orch: model: the backend scripted takes no model: leave it out, or choose another agent"
        " [request_invalid]"
    )


def test_a_wrong_default_stops_with_a_line_that_names_the_variable(orch):
    wrong = '{"worker": {"agent": "scripted", "model": "m"}}'
    done = orch.run("spawn", *REQUEST, code=1, ORCHESTRATOR_MODELS=wrong)
    assert "ORCHESTRATOR_MODELS: worker.model: the backend scripted takes no model" in done.stderr
    done = orch.run("models", code=1, ORCHESTRATOR_MODELS='{"boss": {"model": "m"}}')
    assert done.stderr.startswith("orch: ORCHESTRATOR_MODELS")


def test_models_by_this_host_needs_no_system_and_is_the_same_over_the_api(orch, valkey_url):
    orch.env |= OPTIONS
    here = orch.json("models")
    found = {one["agent"]: one for one in here["backends"]}
    assert found["command"]["models"] == ["*"]
    assert found["command"]["defaultFor"] == {"worker": {"model": "m"}}
    assert found["claude"]["hasKey"] is False
    assert "CLAUDE_API_KEY is not set" in found["claude"]["fault"]
    shown = orch.run("models", VALKEY_URL="redis://127.0.0.1:1/0").stdout
    assert "scripted (default)" in shown
    assert "worker: m" in shown
    with serving(valkey_url, **OPTIONS) as (client, _):
        api = str(client.base_url)
        over_http = json.loads(orch.run("--api", api, "models", "--json").stdout)
        agent_id = json.loads(
            orch.run("--api", api, "spawn", *REQUEST, "--fallback", ":n", "--json").stdout
        )["agentId"]
        state = client.get(f"/agents/{agent_id}/status").json()
    assert over_http == here
    assert [one.get("model") for one in state["choices"]] == ["m", "n"]
