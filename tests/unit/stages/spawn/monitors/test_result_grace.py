"""After its result a program has a time of silence; what it does starts it anew, up to a limit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.stages.spawn.monitors.result_grace import MOST_GRACES, ResultGrace

GRACE_S = 20.0


class Watched:
    """An agent of which a test says what it does, and the watch that looks at it each second."""

    def __init__(self) -> None:
        self.agent = SimpleNamespace(
            result=None, results=0, tools_used=0, output_bytes=0, has_open_work=False
        )
        self.is_asking = False
        self.now_s = 1000.0
        self._grace = ResultGrace(
            self.agent, GRACE_S, is_asking=lambda: self.is_asking, clock=lambda: self.now_s
        )

    def over_after_s(self, each_second=lambda _: None, *, most_s=2000) -> int | None:
        for second in range(most_s):
            each_second(second)
            if self._grace.is_over():
                return second
            self.now_s += 1
        return None

    def give_result(self) -> None:
        self.agent.result = object()
        self.agent.results += 1
        self.agent.output_bytes += 1


@pytest.fixture
def watched():
    return Watched()


def test_without_a_result_it_is_never_over(watched):
    assert watched.over_after_s() is None


def test_silence_ends_it(watched):
    watched.give_result()
    assert watched.over_after_s() == GRACE_S


def test_any_output_starts_it_anew(watched):
    watched.give_result()

    def talk(second):
        watched.agent.output_bytes += second in (10, 25, 40)

    assert watched.over_after_s(talk) == 40 + GRACE_S


@pytest.mark.parametrize("how", ["has_open_work", "is_asking"])
def test_what_is_under_way_holds_it_up(watched, how):
    watched.give_result()

    def work(second):
        setattr(watched.agent if how == "has_open_work" else watched, how, second < 100)

    assert watched.over_after_s(work) == 99 + GRACE_S


@pytest.mark.parametrize("how", ["has_open_work", "is_asking", "output_bytes"])
def test_it_ends_all_the_same_where_that_never_ends(watched, how):
    watched.give_result()

    def go_on(second):
        setattr(watched.agent if how != "is_asking" else watched, how, second + 2)

    assert watched.over_after_s(go_on) == MOST_GRACES * GRACE_S


def test_a_turn_that_uses_tools_is_a_turn_of_its_own(watched):
    watched.give_result()

    def work(second):
        watched.agent.output_bytes += 1
        watched.agent.tools_used += second in (200, 400)

    assert watched.over_after_s(work) == 400 + MOST_GRACES * GRACE_S


def test_a_better_result_has_a_grace_of_its_own(watched):
    watched.give_result()

    def end_again(second):
        if second == 15:
            watched.give_result()

    assert watched.over_after_s(end_again) == 15 + GRACE_S
