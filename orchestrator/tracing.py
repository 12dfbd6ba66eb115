"""Traces of agents: one trace each, with the extra `otel` and OTEL_EXPORTER_OTLP_ENDPOINT set.

The trace id is derived from the agentId, so the processes of all hosts write to the same trace
without coordination.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


_making = threading.Lock()


def trace_ids(agent_id: str) -> tuple[int, int]:
    """Return the ids of an agent's trace and of the parent span of its stages."""
    digest = hashlib.sha256(agent_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


@contextmanager
def stage(provider: TracerProvider | None, agent_id: str, name: str) -> Iterator[None]:
    """Trace one stage of an agent; without a provider nothing is traced.

    A span contains only the agentId and the name of the stage, no agent output and no secret. An
    error sets the span's status with the type of the error, since its text may contain either.
    """
    if provider is None:
        yield
        return
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    trace_id, span_id = trace_ids(agent_id)
    whole = trace.SpanContext(
        trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
    )
    span = provider.get_tracer("orchestrator").start_span(
        name,
        context=trace.set_span_in_context(trace.NonRecordingSpan(whole)),
        attributes={"agent.id": agent_id},
    )
    try:
        yield
    except BaseException as error:
        span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        span.end()


def exporting() -> TracerProvider | None:
    """Return this process's tracer provider; None without the extra or an endpoint."""
    if not os.environ.get(ENDPOINT):
        return None
    # Threads of a pool start together, and `lru_cache` does not lock while it computes a value.
    with _making:
        return _exporting(os.getpid())


@lru_cache(maxsize=1)
def _exporting(pid: int) -> TracerProvider | None:
    # The cache key is the process, because a forked child does not have its parent's threads.
    del pid
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
    except ImportError:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "orchestrator"}))
    # The processor exports in its own thread, so a slow collector does not delay agents.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
