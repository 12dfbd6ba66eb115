"""What a reviewing agent spends is told with its judgement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.backends._claude_events import read_event
from orchestrator.gates.checks.ai_review import AiReview
from orchestrator.interfaces.agent import Launch
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.interfaces.run import Completed
from orchestrator.models import AgentType, GateStatus, Stage, Usage


class Claude:
    """Claude Code's events, without the program."""

    def launch(self, _job):
        return Launch(("claude",))

    signals = staticmethod(read_event)


def message(output_tokens: object) -> dict[str, object]:
    usage = {"input_tokens": 100, "output_tokens": output_tokens}
    return {"type": "assistant", "message": {"id": "m-1", "content": [], "usage": usage}}


def result(answer: object) -> dict[str, object]:
    return {
        "type": "result", "subtype": "success", "is_error": False, "structured_output": answer,
    }  # fmt: skip


def test_a_change_too_large_to_show_is_not_approved_and_nobody_is_asked():
    def run(*_: object) -> Completed:
        pytest.fail("a reviewer was asked")

    patch = "diff --git a/x b/x\n@@ -0,0 +1 @@\n" + "+x\n" * 200_000
    subject = GateInput("a-1", AgentType.WORKER, Path("/w/tree"), ("x",), lambda: patch, run)
    gate = PlannedGate(name="ai-review", stage=Stage.POST_COMMIT, command=None, timeout_s=1)
    result = AiReview(Claude()).evaluate(gate, subject)
    assert result.status is GateStatus.ERRORED
    assert "split the work" in result.detail


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (
            [message(1), message(7), result({"approved": True, "confidence": 1.0})],
            Usage(input_tokens=100, output_tokens=7, total_tokens=107),
        ),
        ([message(7), message("x")], Usage(input_tokens=100, output_tokens=7, total_tokens=107)),
        ([result({"approved": True, "confidence": 1.0})], None),
    ],
)
def test_a_reviewers_tokens_count_once_per_message_whatever_it_answers(said, usage):
    stdout = b"".join(json.dumps(event).encode() + b"\n" for event in said)
    subject = GateInput(
        "a-1", AgentType.WORKER, Path("/w/tree"), ("x",), lambda: "",
        lambda *_: Completed(0, stdout, b"", timed_out=False, truncated=False, duration_ms=1),
    )  # fmt: skip
    gate = PlannedGate(name="ai-review", stage=Stage.POST_COMMIT, command=None, timeout_s=1)
    assert AiReview(Claude()).evaluate(gate, subject).usage == usage


@pytest.mark.parametrize(
    ("before", "status"),
    [
        (b'(node:12) Warning: deprecated\n"text"\n{}\n', GateStatus.PASSED),
        (b'{"type": "assistant", "message": {"content": "cut', GateStatus.ERRORED),
        (b'{"type": "assistant", "message": {"content": "cut\n', GateStatus.ERRORED),
    ],
)
def test_a_foreign_line_is_no_answer_and_a_damaged_event_makes_none_believed(before, status):
    """What stands in a damaged event may be of the change that is read."""
    stdout = before + json.dumps(result({"approved": True, "confidence": 1.0})).encode()
    subject = GateInput(
        "a-1", AgentType.WORKER, Path("/w/tree"), ("x",), lambda: "",
        lambda *_: Completed(0, stdout, b"", timed_out=False, truncated=False, duration_ms=1),
    )  # fmt: skip
    gate = PlannedGate(name="ai-review", stage=Stage.POST_COMMIT, command=None, timeout_s=1)
    assert AiReview(Claude()).evaluate(gate, subject).status is status
