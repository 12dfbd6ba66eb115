"""Traces leave a real worker for a real collector's address, and hold ids and stages only."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orchestrator.control.submit import SubmitService
from orchestrator.tracing import ENDPOINT, trace_ids
from orchestrator.wiring import clock, new_id
from tests.pools import pool_worker
from tests.processes import eventually


class Collector(ThreadingHTTPServer):
    """Takes traces in, by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.bodies: list[bytes] = []

    @property
    def spans(self):
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector():
    with Collector() as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_an_agents_stages_arrive_as_one_trace(store, valkey_url, tmp_path, collector):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": "/no/such/place.git", "branch": "main", "workItems": ["a-secret-word"]}
    body = {"taskId": "t", "agentType": "worker", "maxRetries": 0, "context": context}
    agent_id = store.run(door.submit(body)).agent_id
    environment = {
        ENDPOINT: f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    stages = {"orchestrator.spawn", "orchestrator.cleanup"}
    with pool_worker(tmp_path, valkey_url, "spawn", "cleanup", slots=2, **environment):
        eventually(lambda: {span.name for span in collector.spans} >= stages)
    trace_id, whole = trace_ids(agent_id)
    of_agent = [span for span in collector.spans if span.name in stages]
    assert {int.from_bytes(span.trace_id) for span in of_agent} == {trace_id}
    assert {int.from_bytes(span.parent_span_id) for span in of_agent} == {whole}
    assert not any(b"a-secret-word" in body for body in collector.bodies)
