"""Two hosts that share nothing but Valkey and a git remote: nothing lost, and nothing twice."""

from __future__ import annotations

import pytest

from tests.faults.crashes.invariants import assert_nothing_lost_and_nothing_twice
from tests.faults.crashes.steps import STEPS
from tests.processes import eventually, marked_all

pytestmark = pytest.mark.timeout(900)


def test_hosts_killed_at_each_step_of_an_agent_go_on_when_they_are_back(hosts):
    with hosts(STEPS) as running:
        running.await_all()
        for pool in running.pools.values():
            pool.kill()
        running.release()
        for pool in running.pools.values():
            pool.container.restart()
        running.settle()
        assert_nothing_lost_and_nothing_twice(running)


def test_a_host_cut_off_from_valkey_lets_go_of_its_agents_and_is_of_use_again(
    hosts, default_pytest_celery_network
):
    """By its lease: nobody else can tell it, and nobody else ends what runs on it."""
    held = ("running", "gating")
    with hosts(held) as running:
        for step in held:
            eventually((running.holds / step).is_dir)
        cut = [running.pools[name].container.id for name in ("spawn-first", "gates-second")]
        for each in cut:
            default_pytest_celery_network.disconnect(each)
        ids = set(running.ids.values())
        # Their programs end, and the sweep takes their leases: nobody holds them any more.
        eventually(lambda: not ids & marked_all().keys())
        with running.valkey() as client:
            eventually(lambda: not client.zcard("orchestrator:leases"))
        running.release()
        for each in cut:
            default_pytest_celery_network.connect(each)
        running.settle()
        assert [running.carried_on(step) for step in held] == ["next attempt"] * 2
        assert_nothing_lost_and_nothing_twice(running)


@pytest.mark.parametrize("count", [15, pytest.param(50, marks=pytest.mark.soak)])
def test_every_service_is_restarted_under_many_agents(
    hosts, default_redis_broker, scheduler, count
):
    with hosts([f"agent{number}" for number in range(count)]) as running:
        # Before it is registered, a message that a worker has taken is lost with it.
        for name in running.ids:
            running.state(name)
        services = [pool.container for pool in running.pools.values()]
        for service in (*services, scheduler, default_redis_broker):
            service.restart(timeout=20)
        running.settle()
        assert_nothing_lost_and_nothing_twice(running)
