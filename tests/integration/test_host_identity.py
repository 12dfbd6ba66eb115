"""Two hosts of one name: the one that cannot see an agent does not confirm its death."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from orchestrator.host.identity import host_identity
from orchestrator.settings import load_settings
from orchestrator.store import keys, kills
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, submit_service
from orchestrator.wiring.host import agent_leases, host_cleaner

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}
MACHINE, BOOT = host_identity().split(".")


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(tmp_path),
            "ORCHESTRATOR_AGENT": "scripted",
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
        }
    )


@pytest.fixture
def killed(settings, store):
    """Return the id of a killed agent whose worker process was this one, on some host."""

    def kill(process):
        holder = replace(agent_leases(settings, store, worker="spawn@twin"), process=process)
        agent = holder.claim(store.run(submit_service(settings).submit(BODY)).agent_id)
        store.run(kills.kill([agent], KillOrder("ann", "stop"), now=clock(), tags=["t"]))
        return agent.agent_id

    return kill


def confirmed(settings, store, agent_id, lease_s=30.0):
    cleaner = host_cleaner(settings, worker="cleanup@twin")
    cleaner = replace(cleaner, holder=replace(cleaner.holder, lease_s=lease_s))
    cleaner.sweep()
    (receipt,) = store.run(kills.find_receipts([agent_id]))
    return receipt.confirmed


def test_the_label_of_a_worker_process_names_its_host(settings, store):
    process = agent_leases(settings, store, worker="spawn@twin").process
    assert process.startswith(f"{os.getpid()}:")
    assert process.endswith(f"@{MACHINE}.{BOOT}")


@pytest.mark.parametrize("identity", ["other.boot", f"other.{BOOT}", f"{MACHINE}.other"])
def test_a_host_of_the_same_name_confirms_no_death_that_it_cannot_see(
    settings, store, killed, identity
):
    agent_id = killed(f"999999999:1@{identity}")
    assert not confirmed(settings, store, agent_id)


def test_its_own_host_confirms_the_death_of_a_worker(settings, store, killed):
    assert confirmed(settings, store, killed(f"999999999:1@{MACHINE}.{BOOT}"))


def test_a_live_worker_of_this_host_confirms_for_itself(settings, store, killed):
    process = agent_leases(settings, store, worker="spawn@twin").process
    assert not confirmed(settings, store, killed(process))


def test_after_a_reboot_the_host_confirms_what_a_live_process_would_have_ended(
    settings, store, killed
):
    agent_id = killed(f"999999999:1@{MACHINE}.before")
    assert confirmed(settings, store, agent_id, lease_s=0.0)
    another = killed("999999999:1@other.before")
    assert not confirmed(settings, store, another, lease_s=0.0)


def test_a_label_without_identity_is_that_of_a_version_before(settings, store, killed):
    assert confirmed(settings, store, killed("999999999:1"))


def test_a_worker_of_a_host_with_another_name_is_not_confirmed(settings, store, killed):
    agent_id = killed(f"999999999:1@{MACHINE}.{BOOT}")
    host_cleaner(settings, worker="cleanup@other").sweep()
    assert not store.run(kills.read_receipt(agent_id)).confirmed


def test_after_a_reboot_a_kill_without_a_time_is_not_confirmed(settings, store, client, killed):
    """A version before this one wrote none."""
    agent_id = killed(f"999999999:1@{MACHINE}.before")
    written = json.loads(client.get(keys.receipt(agent_id)))
    assert written.pop("clockMs")
    client.set(keys.receipt(agent_id), json.dumps(written))
    assert not confirmed(settings, store, agent_id, lease_s=0.0)
