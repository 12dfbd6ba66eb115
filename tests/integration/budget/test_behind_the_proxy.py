"""An agent whose requests pass the proxy ends at its limit, and exceeds it by no token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.backends.command import CommandBackend, Options
from orchestrator.interfaces.agent import AgentJob, Launch
from orchestrator.models import Status
from orchestrator.queries.budget import summary
from orchestrator.settings.prices import Price
from orchestrator.store.budget import publish
from tests.doubles.greedy_models import GreedyModels
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab

LIMIT = 60_000
ASKED = {"model": "m", "max_tokens": 10**9, "messages": [{"role": "user", "content": "x" * 400}]}


class Asker(CommandBackend):
    """An agent that asks its model until it is refused, and then waits."""

    def launch(self, job: AgentJob) -> Launch:
        ask = (
            "import http.client, time\n"
            "while True:\n"
            "    c = http.client.HTTPConnection('127.0.0.1', 8118)\n"
            f"    c.request('POST', '/v1/messages', {json.dumps(ASKED)!r},"
            f" {{'x-api-key': {job.model.key!r}}})\n"
            "    if c.getresponse().status != 200: time.sleep(600)\n"
        )
        return Launch(("/usr/bin/python3", "-c", ask))


def _lab(folder: Path, valkey_url: str, models: GreedyModels, **settings: str) -> Lab:
    """Return a system with published limits, whose agents ask these models through the proxy."""
    lab = Lab(
        folder,
        valkey_url,
        ORCHESTRATOR_SANDBOX_NETWORK="proxy",
        CLAUDE_API_KEY="sk-double",
        ANTHROPIC_BASE_URL=models.url,
        **settings,
    )
    lab.use(Asker(Options(), path=None))
    lab.store.run(publish(lab.settings))
    return lab


def test_an_agent_ends_at_its_dollars_and_has_cost_no_cent_more(tmp_path, valkey_url):
    remote = make_remote(tmp_path, SAMPLE)
    own = tmp_path / "prices.toml"
    own.write_text("date = 2026-12-01\n[anthropic]\nm = { input = 2.0, output = 10.0 }\n")
    with GreedyModels() as models:
        lab = _lab(tmp_path, valkey_url, models, ORCHESTRATOR_PRICES=str(own))
        agent = lab.work(lab.spawn(remote, maxCostUsd=0.5))
    assert (agent.status, agent.error_code) == (Status.FAILED, "budget_exceeded"), agent.error
    assert "its limit is $0.5000, and its next request needs up to" in agent.error
    assert agent.usage.cost_usd == pytest.approx(models.billed_usd(Price(input=2, output=10)))
    assert 0.97 * 0.5 <= agent.usage.cost_usd <= 0.5


def test_an_agent_whose_model_has_no_price_gets_no_answer_where_dollars_are_limited(
    tmp_path, valkey_url
):
    remote = make_remote(tmp_path, SAMPLE)
    with GreedyModels() as models:
        lab = _lab(tmp_path, valkey_url, models, BUDGET_DAILY_USD="20")
        agent = lab.work(lab.spawn(remote))
    assert (agent.status, agent.error_code) == (Status.FAILED, "price_unknown"), agent.error
    assert agent.error.startswith("The model anthropic/m has no price.")
    assert models.requests == []


def test_an_agent_ends_at_its_limit_and_has_spent_no_token_more(tmp_path, valkey_url):
    remote = make_remote(tmp_path, SAMPLE)
    with GreedyModels() as models:
        lab = _lab(tmp_path, valkey_url, models, BUDGET_PER_AGENT_TOKENS=str(LIMIT))
        agent = lab.work(lab.spawn(remote))
        found = lab.store.follow(summary(lab.settings, lab.services.runner.holder.clock()))
    assert (agent.status, agent.error_code) == (Status.FAILED, "budget_exceeded"), agent.error
    assert f"its limit is {LIMIT}, and its next request needs up to" in agent.error
    assert agent.usage.total_tokens == models.billed
    assert 0.97 * LIMIT <= models.billed <= LIMIT
    assert (found.used, found.reserved) == (models.billed, 0)
