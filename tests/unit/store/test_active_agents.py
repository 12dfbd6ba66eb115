"""The list of active agents, which is read in parts."""

from __future__ import annotations

import pytest

from orchestrator.control.kill_switch import KillSwitch
from orchestrator.models import KillScope
from orchestrator.settings import load_settings
from orchestrator.store import keys, kills
from orchestrator.wiring import audit
from tests.script_calls import NOW


@pytest.mark.parametrize("part", [1, 2, 1_000])
def test_every_active_agent_is_listed_once(store, client, now_is, monkeypatch, part):
    monkeypatch.setattr(kills, "_PART", part)
    assert set(store.follow(kills.active_ids())) == {"queued", "delayed", "running"}
    client.zadd(keys.status_index("running"), {"queued": 1})
    assert sorted(store.follow(kills.active_ids())) == ["delayed", "queued", "running"]


def test_a_kill_of_all_is_recorded_part_by_part(store, client, now_is, monkeypatch, tmp_path):
    """So that the first agents are dead and recorded before the last ones are read."""
    monkeypatch.setattr(kills, "CHUNK", 1)
    chain = audit(load_settings({"ORCHESTRATOR_HOME": str(tmp_path)}))
    switch = KillSwitch(chain, lambda: NOW, iter("abcdefgh").__next__)
    order = kills.KillOrder(by="ann", why="")
    flow = switch.kill_all(KillScope(), order, timeout_s=0)
    sent = []

    def send_all() -> None:
        reply = None
        while True:
            operation = flow.send(reply)
            sent.append(operation.script.name if operation.script else operation.arguments[0])
            reply = store.run(operation)

    with pytest.raises(StopIteration) as end:
        send_all()
    assert end.value.value.total == 3
    steps = [name for name in sent if name in {"MGET", "kill", "append_audit"}]
    assert steps[:9] == ["MGET", "kill", "append_audit"] * 3
