"""An agent that is ended for its budget has no open request, and none is admitted any more."""

from __future__ import annotations

from threading import Thread

import pytest

from orchestrator.errors import BudgetExceeded, StoreUnreachable
from orchestrator.interfaces.agent import UsageReport
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import Usage
from orchestrator.store.model_requests import TokenNeed
from tests.integration.budget.conftest import Metered

SMALL, LARGE = TokenNeed(20, 30, 1, 1), TokenNeed(10_000, 30, 1, 1)


def answers(metered: Metered, tokens: int, *requests: str) -> None:
    usage = Usage(input_tokens=tokens, total_tokens=tokens)
    metered.reader.see(UsageReport(requests[0], usage))
    for request in requests:
        metered.requests.finish(request)


def test_after_the_refusal_that_ends_an_agent_nothing_is_admitted(fleet):
    metered = Metered(fleet)
    assert metered.requests.admit("1", LARGE).answer == "refused"
    with pytest.raises(BudgetExceeded, match="up to"):
        metered.monitor.check()
    assert metered.requests.admit("2", SMALL).answer == "ended"
    assert fleet.counts() == (0, 100)


def test_a_request_during_the_last_charge_is_not_admitted(fleet, monkeypatch):
    metered, charge, found = Metered(fleet), AgentLeases.charge, []
    asking = Thread(target=lambda: found.append(metered.requests.admit("2", SMALL).answer))

    def slowly(holder, agent, facts):
        asking.start()
        asking.join(0.3)
        return charge(holder, agent, facts) or "Nothing is left."

    monkeypatch.setattr(AgentLeases, "charge", slowly)
    assert metered.requests.admit("1", SMALL).answer == "admitted"
    answers(metered, 50, "1")
    with pytest.raises(BudgetExceeded):
        metered.monitor.check()
    asking.join()
    assert found == ["ended"]


@pytest.mark.parametrize("cause", ["refusal", "heartbeat"])
def test_an_agent_is_not_ended_while_a_response_is_open(fleet, cause):
    metered = Metered(fleet)
    assert metered.requests.admit("1", SMALL).answer == "admitted"
    if cause == "refusal":
        metered.requests.admit("2", LARGE)
    else:
        metered.lease.overrun = "Of today's 1,000 tokens 1,000 are spent."
    metered.monitor.check()
    answers(metered, 45, "1")
    with pytest.raises(BudgetExceeded):
        metered.monitor.check()
    assert fleet.counts() == (45, 55)


def test_a_request_whose_admission_is_unknown_is_closed(fleet, monkeypatch):
    metered, store = Metered(fleet), fleet.store
    with monkeypatch.context() as broken:
        run = store.run

        def unheard(step):
            run(step)
            raise StoreUnreachable

        broken.setattr(store, "run", unheard)
        with pytest.raises(StoreUnreachable):
            metered.requests.admit("1", TokenNeed(20, 300, 1, 1))
    assert fleet.counts() == (0, 320)
    metered.monitor.check()
    assert fleet.counts() == (0, 100)
    assert not metered.requests.has_open
