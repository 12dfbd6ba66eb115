"""Traces: one an agent, whichever process runs which of its stages; nothing without a collector."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.tracing import ENDPOINT, exporting, stage, trace_ids


def traced():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_the_stages_of_an_agent_are_one_trace_over_processes():
    spans = []
    for name in ("orchestrator.spawn", "orchestrator.gate_check", "orchestrator.cleanup"):
        provider, exporter = traced()  # as each process has its own
        with stage(provider, "agent-1", name):
            pass
        spans += exporter.get_finished_spans()
    trace_id, span_id = trace_ids("agent-1")
    assert [span.name for span in spans] == [
        "orchestrator.spawn", "orchestrator.gate_check", "orchestrator.cleanup",
    ]  # fmt: skip
    assert {span.context.trace_id for span in spans} == {trace_id}
    assert {span.parent.span_id for span in spans} == {span_id}
    assert trace_ids("agent-2")[0] != trace_id


def test_an_error_marks_its_stage_without_its_words():
    provider, exporter = traced()
    secret = "hunter2"
    with (
        pytest.raises(ValueError, match="hunter2"),
        stage(provider, "agent-1", "orchestrator.spawn"),
    ):
        raise ValueError(secret)
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert "hunter2" not in span.to_json()


def test_without_a_collector_nothing_is_traced(monkeypatch):
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert exporting() is None
    with stage(None, "agent-1", "orchestrator.spawn"):
        pass
