"""The cancel scope: all that works in it is ended at once, also what starts later."""

from __future__ import annotations

import pytest

from orchestrator.host.cancel_scope import (
    CancelScope,
    current,
    ended_by,
    side_by_side,
    working_in,
)


def test_an_end_reaches_each_program_that_runs_and_none_that_has_ended():
    scope, ended = CancelScope(), []
    with working_in(scope):
        with ended_by(lambda: ended.append("gone")):
            pass
        with ended_by(lambda: ended.append("one")), ended_by(lambda: ended.append("two")):
            assert not scope.is_ended
            scope.end()
            assert sorted(ended) == ["one", "two"]
    assert scope.is_ended


def test_what_starts_after_the_end_is_ended_at_once():
    scope, ended = CancelScope(), []
    scope.end()
    with working_in(scope), ended_by(lambda: ended.append("late")):
        assert ended == ["late"]


def test_an_end_may_be_repeated_and_ends_what_the_first_one_did_not():
    scope, ended = CancelScope(), []
    with working_in(scope), ended_by(lambda: ended.append(1)):
        scope.end()
        scope.end()
    scope.end()
    assert ended == [1, 1]


def test_a_program_that_fails_is_not_ended_afterwards():
    scope, ended = CancelScope(), []
    with pytest.raises(KeyError), working_in(scope), ended_by(lambda: ended.append(1)):
        raise KeyError
    scope.end()
    assert not ended


def test_a_scope_ends_where_its_block_ends_and_none_may_be_within_another():
    outer, inner, ended = CancelScope(), CancelScope(), []
    with working_in(outer):
        with working_in(inner):
            assert current() is inner
        with working_in(None):
            assert current() is None
            with ended_by(lambda: ended.append(1)):
                outer.end()
        assert current() is outer
    assert current() is None
    assert not ended


def test_threads_side_by_side_work_in_the_scope_of_their_caller():
    scope = CancelScope()
    with working_in(scope):
        assert side_by_side(lambda item: (item, current()), (1, 2)) == ((1, scope), (2, scope))
    assert side_by_side(lambda _: current(), (1,)) == (None,)
    assert side_by_side(str, ()) == ()


@pytest.mark.parametrize(
    ("ends", "last"),
    [((None, None), None), ((5.0, None), 5.0), ((5.0, 7.0), 7.0), ((7.0, 5.0), 7.0)],
)
def test_the_end_is_that_of_the_last_process_of_any_tree(ends, last):
    scope = CancelScope()
    for number, ended_at_s in enumerate(ends):
        scope.record((9 - number, 3), ended_at_s=ended_at_s, is_proven=True)
    assert scope.ended_at_s == last
    assert scope.ended_pids == (3, 8, 9)


@pytest.mark.parametrize("proofs", [(), (True,), (True, False), (False, True)])
def test_the_end_is_proven_only_if_that_of_every_tree_is(proofs):
    scope = CancelScope()
    for is_proven in proofs:
        scope.record((), ended_at_s=None, is_proven=is_proven)
    assert scope.has_proof is all(proofs)


def test_the_labels_are_a_copy():
    labels = {"ORCH_AGENT_ID": "a-1"}
    scope = CancelScope(labels)
    labels.clear()
    assert scope.labels == {"ORCH_AGENT_ID": "a-1"}
    assert CancelScope().labels == {}


def test_a_program_that_cannot_be_told_to_end_keeps_no_other_from_its_end(capsys):
    scope, ended = CancelScope({"ORCH_AGENT_ID": "a-1"}), []

    def broken() -> None:
        msg = "nobody thought of this"
        raise ValueError(msg)

    with working_in(scope), ended_by(broken), ended_by(lambda: ended.append("other")):
        scope.end()
    assert ended == ["other"]
    assert "a-1" in capsys.readouterr().out
