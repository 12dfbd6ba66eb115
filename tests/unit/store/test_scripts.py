"""Lua scripts: the keys that a header declares are those of its text and of its callers."""

from __future__ import annotations

import re

import pytest

from orchestrator.messages import SPAWN_QUEUE, queue_key
from orchestrator.models import Status
from orchestrator.store import keys, usage_bounds
from orchestrator.store.scripts import KeyLayout, layout_of, script, script_names, source_of
from tests.script_calls import NOW

USED = re.compile(r"\bK\.(\w+)")


def body_of(name: str) -> str:
    return re.sub(r"^--.*$", "", source_of(name), flags=re.MULTILINE)


@pytest.mark.parametrize("name", script_names())
def test_the_declared_keys_are_those_of_the_text(name):
    layout = script(name).layout
    assert layout.names == set(USED.findall(body_of(name)))
    assert layout.names
    for group, member in re.findall(r"\bK\.(\w+)\.(\w+)", body_of(name)):
        assert f"{group}.{member}" in layout.fixed


@pytest.mark.parametrize("name", [*script_names(), "_prelude", "_budget"])
def test_no_script_names_a_key_by_its_position(name):
    assert not re.search(r"\bKEYS\b", body_of(name))


@pytest.mark.parametrize("name", script_names())
def test_a_header_gives_each_key_a_line_with_its_type(name):
    head = source_of(name).partition(") -> ")[0]
    for line in re.findall(r"^-- +K\..*$", head, re.MULTILINE):
        assert re.fullmatch(r"--   K\.\S+ +\S.*", line), line
    assert not re.search(r"\bKEYS\b", head)


def test_the_text_of_a_script_and_so_its_digest_does_not_depend_on_the_call():
    assert script("kill") is script("kill")
    assert {len(script(name).sha) for name in script_names()} == {40}


def test_the_budget_names_its_keys_and_the_queues_the_most_urgent_first():
    named = {"budget": keys.budget(NOW)}
    layout = KeyLayout(tuple(path for path in script("heartbeat").layout.fixed if "." in path))
    sent = dict(zip(layout.fixed, layout.arrange(named), strict=True))
    assert sent["budget.slots"] == keys.SLOTS
    assert sent["budget.queues.0"] == queue_key(SPAWN_QUEUE, 10)
    assert sent["budget.queues.9"] == queue_key(SPAWN_QUEUE, 1)


@pytest.mark.parametrize("name", ["transition", "kill"])
def test_every_status_has_an_index(name):
    paths = {path for path in script(name).layout.fixed if path.startswith("index.")}
    assert paths == {f"index.{status}" for status in Status}


HEADER = """-- A script.
--
-- script(
--   K.one        string
--   K.group.{a,b}  zsets
--   K.last?      list
-- ) -> 1
local x
--   K.no         string
"""


def test_a_header_is_read_as_it_is_written():
    assert layout_of(HEADER) == KeyLayout(("one", "group.a", "group.b"), "last")
    lua = layout_of(HEADER).lua()
    assert "#KEYS ~= 3 and #KEYS ~= 4" in lua
    assert "{ one = KEYS[1], group = { a = KEYS[2], b = KEYS[3] }, last = KEYS[4] }" in lua


@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        ({}, "group.a, group.b, one"),
        ({"one": "1", "group": {"a": "2"}}, "group.b"),
        ({"one": "1", "group": {"a": "2", "b": "3", "c": "4"}}, "group.c"),
        ({"one": "1", "group": {"a": "2", "b": "3"}, "two": "2"}, "two"),
    ],
)
def test_a_missing_or_unknown_key_is_refused_before_anything_is_sent(named, wrong):
    with pytest.raises(ValueError, match=re.escape(wrong)):
        layout_of(HEADER).arrange(named)


def test_keys_are_sent_in_the_order_of_the_header_whatever_the_callers():
    named = {"last": "4", "group": {"b": "3", "a": "2"}, "one": "1"}
    assert layout_of(HEADER).arrange(named) == ("1", "2", "3", "4")


def test_groups_at_the_end_may_be_any_number():
    layout = KeyLayout(("one",), repeated="targets", fields=("a", "b"))
    targets = [{"b": "3", "a": "2"}, {"a": "4", "b": "5"}]
    assert layout.arrange({"one": "1", "targets": targets}) == ("1", "2", "3", "4", "5")
    assert layout.arrange({"one": "1", "targets": []}) == ("1",)


def test_the_bounds_of_a_usage_are_the_same_on_both_sides():
    text = source_of("_budget")
    stated = {name: float(value) for name, value in re.findall(r"local (MOST_\w+) = (\S+)\n", text)}
    assert stated["MOST_TOKENS"] == usage_bounds.MOST_TOKENS
    assert stated["MOST_COST_USD"] == usage_bounds.MOST_COST_USD


@pytest.mark.parametrize(
    ("usage", "left"),
    [
        ({"totalTokens": 5, "costUsd": 0.5}, {"totalTokens": 5, "costUsd": 0.5}),
        ({"totalTokens": 5, "costUsd": None}, {"totalTokens": 5}),
        *(
            ({"totalTokens": 5, "costUsd": cost}, {"totalTokens": 5})
            for cost in (float("inf"), float("nan"), 1e308, -1, "1", True)
        ),
        *(
            ({"totalTokens": tokens, "costUsd": 0.5}, None)
            for tokens in (float("inf"), float("nan"), 1e300, -1, 0.5, "1", None, True)
        ),
        ("5", None),
        ([5], None),
    ],
)
def test_a_wrong_cost_hides_no_tokens_and_a_wrong_count_is_not_counted(usage, left):
    patch, is_refused = usage_bounds.plausible({"usage": usage, "summary": "s"})
    expected = {"summary": "s"} if left is None else {"summary": "s", "usage": left}
    assert patch == expected
    assert is_refused is (
        left is None or ("costUsd" in usage and usage["costUsd"] not in (None, 0.5))
    )
