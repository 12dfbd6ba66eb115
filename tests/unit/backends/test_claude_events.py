"""The event stream of Claude Code is read without trusting it."""

from __future__ import annotations

import json

import pytest

from orchestrator.interfaces.agent import (
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import (
    FieldRefused,
    Foreign,
    LimitReached,
    OpenTasks,
    TaskChanged,
    ToolDone,
)
from orchestrator.models import Usage
from tests.unit.backends.conftest import SESSION, read


def test_a_provider_that_takes_no_more_is_no_fault_of_the_agents(backend_of):
    """As the real binary says it after its own retries, with the status of the last."""
    ended = {"subtype": "success", "is_error": True, "result": "API Error: 529 Overloaded"}
    for status, is_limited in ((529, True), (429, True), (401, False), (None, False)):
        (result,) = read(backend_of(), type="result", api_error_status=status, **ended)
        assert result.is_limited is is_limited
    info = {"status": "rejected", "resetsAt": 1795260000}
    assert read(backend_of(), type="rate_limit_event", rate_limit_info=info) == [
        LimitReached(1795260000)
    ]
    assert read(backend_of(), type="rate_limit_event", rate_limit_info={"status": "allowed"}) == []


def test_the_session_is_taken_from_the_first_event(backend_of):
    backend = backend_of()
    event = {"type": "system", "subtype": "init", "session_id": SESSION}
    assert read(backend, **event) == [SessionStarted(SESSION)]
    assert read(backend, **{**event, "session_id": "--help"}) == []
    assert read(backend, **{**event, "subtype": "status"}) == []


def test_a_retry_is_told_for_it_may_go_on_for_minutes(backend_of):
    event = {"subtype": "api_retry", "attempt": 2, "max_retries": 10, "error": "overloaded"}
    assert read(backend_of(), type="system", error_status=529, **event) == [
        AgentMessage("API: 529 (overloaded), retry 2 of 10")
    ]
    assert read(backend_of(), type="system", error_status=None, **event) == [
        AgentMessage("API: no answer (overloaded), retry 2 of 10")
    ]


def test_an_assistant_event_gives_words_tools_and_usage(backend_of):
    message = {
        "id": "msg_1",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "I write."},
            {
                "type": "tool_use",
                "name": "Write",
                "input": {"file_path": "a", "content": "x" * 9000},
            },
        ],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 1,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": 20,
        },
    }
    usage, said, used = read(backend_of(), type="assistant", message=message)
    expected = Usage(input_tokens=100, output_tokens=1, cache_write_tokens=20)
    assert usage == UsageReport("msg_1", expected)
    assert said == AgentMessage("I write.")
    assert isinstance(used, ToolUse)
    assert used.name == "Write"
    assert used.detail.startswith('{"file_path": "a"')
    assert len(used.detail) == 500


def test_the_tokens_put_out_are_those_told_when_the_message_ends(backend_of):
    event = {"type": "message_delta", "usage": {"output_tokens": 57}}
    [report] = read(backend_of(), type="stream_event", event=event, api_message_id="msg_1")
    assert report == UsageReport("msg_1", Usage(output_tokens=57))
    start = {"type": "message_start", "usage": {"output_tokens": 57}}
    assert read(backend_of(), type="stream_event", event=start, api_message_id="msg_1") == []


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (
            {"subtype": "success", "is_error": False, "result": "Done.", "total_cost_usd": 0.5},
            Result(ok=True, summary="Done.", cost_usd=0.5),
        ),
        (
            {"subtype": "success", "is_error": True, "result": "API Error: 401"},
            Result(ok=False, summary="API Error: 401"),
        ),
        (
            {"subtype": "error_during_execution", "is_error": True, "errors": ["No such session"]},
            Result(ok=False, summary="No such session"),
        ),
        (
            {"subtype": "error_max_turns", "is_error": False},
            Result(ok=False, summary="Claude Code ended with error_max_turns."),
        ),
    ],
)
def test_only_success_without_an_error_is_success(backend_of, event, result):
    assert read(backend_of(), type="result", **event) == [result]


def test_half_a_character_does_not_end_the_agent(backend_of):
    line = b'{"type": "result", "subtype": "success", "is_error": false, "result": "cut \\ud83d"}'
    [result] = backend_of().signals(line)
    assert result.summary == "cut ?"


def test_events_of_other_kinds_are_passed_over(backend_of):
    for kind in ("user", "rate_limit_event", "of_next_year"):
        assert read(backend_of(), type=kind, message=5) == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Segmentation fault", ""),
        (b"[]", "a JSON array"),
        (b'"text"', "a JSON string"),
        (b"null", "a JSON null"),
        (b"-1e999", "a JSON number"),
        (b"{}", "an object without a type"),
        (b'{"type": ["result"]}', "an object without a type"),
        (b"\x00\x00", "control characters"),
        (b'{"type": "result", "subty', "a damaged event"),
    ],
)
def test_what_is_no_event_is_handed_out_as_what_it_is(backend_of, line, kind):
    (signal,) = backend_of().signals(line)
    assert isinstance(signal, Foreign)
    assert signal.kind == kind
    assert signal.text == line.decode()


GOOD = b'{"type": "result", "subtype": "success", "is_error": false, "result": "Done."}'

CUT_IN_TEXT = b'{"type": "assistant", "message": {"content": [{"type": "text", "text": "I wr'

CUT_BETWEEN = b'{"type": "assistant", "message": {"id": "m", "content": [{"type": "text"}, '


@pytest.mark.parametrize(
    ("line", "foreign"),
    [
        (b"\xef\xbb\xbf" + GOOD + b"\x00\r", 0),
        (b"(node:12) Warning: {deprecated} " + GOOD, 1),
        (b"\x1b[0m" + GOOD + b" trailing words", 2),
        (GOOD[:-1] + b', "id": ' + b"9" * 9000 + b', "cost": NaN}', 0),
        (GOOD[:-1] + b', "deep": ' + b"[" * 9000 + b"]" * 9000 + b"}", 0),
        (b'{"result": null, ' + GOOD[1:], 0),
        (CUT_IN_TEXT + GOOD, 1),
        (CUT_BETWEEN + GOOD, 1),
        (b'{"a": ' * 10 + GOOD, 1),
        (GOOD.replace(b"Done.", b"Do\nne."), 0),
        (GOOD.replace(b"Done.", b"Do\xffne."), 0),
    ],
)
def test_a_result_is_found_whatever_shares_its_line(backend_of, line, foreign):
    signals = backend_of().signals(line)
    (result,) = [one for one in signals if isinstance(one, Result)]
    assert result.ok
    assert len([one for one in signals if isinstance(one, Foreign)]) == foreign


def test_two_events_in_a_line_are_two(backend_of):
    text = json.dumps({"type": "assistant", "message": {"id": "m", "content": "Hello."}}).encode()
    assert backend_of().signals(text + text + GOOD) == (
        *(UsageReport("m", Usage()), AgentMessage("Hello.")) * 2,
        Result(ok=True, summary="Done."),
    )


@pytest.mark.parametrize("behind", [b"]}}", b', {"x": 1}]}', b'"}'])
def test_what_stands_inside_a_damaged_event_is_no_event(backend_of, behind):
    """A tool may be given, or give back, what looks like one."""
    line = b'{"type": "assistant", "message": {bad, "input": [' + GOOD + behind
    assert all(isinstance(one, Foreign) for one in backend_of().signals(line))


def test_a_wrong_field_is_lost_alone_and_named(backend_of):
    usage = {
        "input_tokens": 7,
        "output_tokens": -1,
        "cache_read_input_tokens": True,
        "cache_creation_input_tokens": "9",
    }
    content = [5, None, {"type": "text", "text": 5}, {"type": "new"}, {"type": "text", "text": "x"}]
    message = {"id": "m", "usage": usage, "content": content}
    reported, said, *refused = read(backend_of(), type="assistant", message=message)
    assert (reported, said) == (UsageReport("m", Usage(input_tokens=7)), AgentMessage("x"))
    assert [one.detail for one in refused] == [
        "assistant.message.output_tokens: -1",
        "assistant.message.cache_read_input_tokens: True",
        "assistant.message.cache_creation_input_tokens: '9'",
        "assistant.message.content[0]: 5",
        "assistant.message.content[1]: None",
        "assistant.message.content.text: 5",
    ]


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}])
def test_no_usage_is_none_and_no_fault(backend_of, usage):
    message = {"id": "m", "usage": usage, "content": "Hello."}
    assert read(backend_of(), type="assistant", message=message) == [
        UsageReport("m", Usage()),
        AgentMessage("Hello."),
    ]


@pytest.mark.parametrize("usage", [[], "many", 5, {"output_tokens": float("inf")}])
def test_usage_of_another_form_is_named_and_not_counted(backend_of, usage):
    reported, refused = read(backend_of(), type="assistant", message={"id": "m", "usage": usage})
    assert reported == UsageReport("m", Usage())
    assert isinstance(refused, FieldRefused)


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), 1e308, True, "1", [1], 10**400])
def test_a_cost_that_cannot_be_is_named_and_not_believed(backend_of, cost):
    line = json.dumps(
        {"type": "result", "subtype": "success", "is_error": False, "result": "Done."}
    )
    line = line[:-1] + f', "total_cost_usd": {json.dumps(cost)}' + "}"
    result, refused = backend_of().signals(line.encode())
    assert result == Result(ok=True, summary="Done.")
    assert isinstance(refused, FieldRefused)


@pytest.mark.parametrize(
    ("fields", "ok", "summary"),
    [
        ({"subtype": "success", "is_error": False, "result": None}, True, ""),
        ({"subtype": "success", "is_error": False, "result": "success"}, True, ""),
        ({"subtype": "success", "result": "Done."}, True, "Done."),
        ({"subtype": 5, "is_error": False, "result": "Done."}, True, "Done."),
        ({"subtype": "success", "is_error": "no", "result": ["x"]}, True, ""),
        ({"result": "Done."}, False, "Done."),
        ({"subtype": "error_x", "errors": [{"message": "No"}, "way", 5]}, False, "No way 5"),
        ({"subtype": "error_x", "errors": "none"}, False, "Claude Code ended with error_x."),
    ],
)
def test_the_summary_is_words_and_never_the_name_of_a_subtype(backend_of, fields, ok, summary):
    result = read(backend_of(), type="result", **fields)[0]
    assert (result.ok, result.summary) == (ok, summary)


@pytest.mark.parametrize("instant", [float("nan"), 1e308, -1, 1795260000000, "soon"])
def test_a_limit_that_ends_at_no_instant_is_told_as_none(backend_of, instant):
    info = {"status": "rejected", "resetsAt": instant}
    (refused,) = read(backend_of(), type="rate_limit_event", rate_limit_info=info)
    assert isinstance(refused, FieldRefused)


def test_what_is_under_way_is_told(backend_of):
    backend = backend_of()
    task = {"type": "system", "task_id": "t1"}
    assert read(backend, subtype="task_started", **task) == [TaskChanged("t1", is_open=True)]
    for ended in (
        {"subtype": "task_notification", "status": "completed"},
        {"subtype": "task_updated", "patch": {"status": "killed"}},
    ):
        assert read(backend, **task, **ended) == [TaskChanged("t1", is_open=False)]
    assert read(backend, **task, subtype="task_updated", patch={"status": "running"}) == []
    tasks = [{"task_id": "t1"}, {"task_id": "t2"}]
    assert read(backend, type="system", subtype="background_tasks_changed", tasks=tasks) == [
        OpenTasks(frozenset({"t1", "t2"}))
    ]
    done = {"content": [{"type": "tool_result", "tool_use_id": "u1"}, 5]}
    assert read(backend, type="user", message=done) == [ToolDone("u1")]


def test_the_output_of_a_tool_is_read_and_whether_it_failed(backend_of):
    block = {"type": "tool_result", "tool_use_id": "u1"}
    texts = [{"type": "text", "text": "a"}, {"type": "image"}, 5, {"type": "text", "text": "b"}]
    for result, expected in (
        ({"content": "12 passed"}, ToolDone("u1", "12 passed")),
        ({"content": texts, "is_error": False}, ToolDone("u1", "a\nb")),
        ({"content": "Exit code 1", "is_error": True}, ToolDone("u1", "Exit code 1", True)),
        ({"content": {"text": "c"}, "is_error": "yes"}, ToolDone("u1")),
    ):
        message = {"content": [block | result]}
        assert read(backend_of(), type="user", message=message) == [expected]
