"""What counts as a wait for Valkey, and what does not."""

from __future__ import annotations

import pytest

from orchestrator.cli.deadline import AnswerDeadline
from orchestrator.errors import StoreUnreachable


class Clock:
    def __init__(self):
        self.at_s = 0.0

    def __call__(self):
        return self.at_s


@pytest.fixture
def clock():
    return Clock()


def ask(deadline, clock, *, takes_s, blocks_s=0.0):
    left_s = deadline.left_s(blocks_s)
    clock.at_s += takes_s
    deadline.record_answer()
    return left_s


def test_a_command_that_asks_ten_thousand_times_is_not_ended_by_prompt_answers(clock):
    deadline = AnswerDeadline(5, clock=clock)
    for _ in range(10_000):
        assert ask(deadline, clock, takes_s=0.01) == 5


def test_slow_answers_are_counted_together(clock):
    deadline = AnswerDeadline(5, clock=clock)
    assert [ask(deadline, clock, takes_s=2) for _ in range(4)] == [5, 3, 1, 0]
    deadline.left_s(0)
    with pytest.raises(StoreUnreachable):
        deadline.pause(StoreUnreachable())


def test_a_command_that_follows_gives_each_answer_the_time(clock):
    deadline = AnswerDeadline(5, is_following=True, clock=clock)
    assert [ask(deadline, clock, takes_s=4) for _ in range(3)] == [5, 5, 5]


def test_one_that_follows_goes_on_after_an_outage(clock):
    deadline = AnswerDeadline(5, is_following=True, clock=clock)
    deadline.left_s(0)
    clock.at_s += 6
    with pytest.raises(StoreUnreachable):
        deadline.pause(StoreUnreachable())
    assert ask(deadline, clock, takes_s=1) == 5


def test_what_the_server_was_asked_to_wait_for_is_no_wait(clock):
    deadline = AnswerDeadline(5, clock=clock)
    assert [ask(deadline, clock, takes_s=3, blocks_s=3) for _ in range(9)] == [8] * 9


def test_a_try_has_what_the_tries_before_it_left(clock):
    deadline = AnswerDeadline(5, clock=clock)
    assert deadline.left_s(0) == 5
    clock.at_s += 4
    deadline.pause(StoreUnreachable())
    assert deadline.left_s(0) == 1
