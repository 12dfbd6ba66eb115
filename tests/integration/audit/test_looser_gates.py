"""A spawn that loosens its gates leaves that in the audit, by whatever way it came."""

from __future__ import annotations

from orchestrator.audit.log import Audit, read_entries
from orchestrator.control.submit import SubmitService
from orchestrator.wiring import clock, new_id


def test_the_entry_of_a_spawn_names_what_it_loosens(store):
    service = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": "/srv/x.git", "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}
    loose = {**body, "gateProfile": "minimal", "mayEdit": ["docs/*", "tests/*"]}
    plain, loosened = (store.run(service.submit(each)).agent_id for each in (body, loose))
    store.follow(Audit(b"k" * 32, clock, new_id).append_waiting())
    told = {entry.agent_id: entry.result for entry in store.follow(read_entries(limit=9))}
    assert told == {
        plain: None,
        loosened: "gate profile minimal; may edit (tests or checks): tests/* docs/*",
    }
