"""How long a command waits for Valkey or for the API, and what it says meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import click

from orchestrator.cli.output.error_report import AS_JSON
from orchestrator.cli.output.text import notify
from orchestrator.errors import StoreUnreachable
from orchestrator.store.patience import waiting_with

#: A command gives Valkey this long, unless told otherwise.
LIMIT_S = 5.0
#: Where the limit of this call is noted, from `--timeout`.
TIMEOUT = "orchestrator.timeout_s"
#: A person is told after this.
_SAY_AFTER_S = 1.0
_LOOK_EVERY_S = 0.1
#: An answer within this is no wait: a command may ask many times.
_PROMPT_S = 0.25
#: A Valkey that refuses connections is not asked for all of the time.
_MOST_TRIES = 4


class AnswerDeadline:
    """The time one command waits for answers of Valkey, over all that it asks.

    Time in which Valkey answers promptly does not count, nor what the server was asked to wait
    for. For a command that follows, the limit is that of each answer.
    """

    def __init__(
        self,
        limit_s: float = LIMIT_S,
        *,
        is_following: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._is_following = is_following
        self._clock = clock
        self._spent_s = 0.0
        self._asked_at_s: float | None = None
        self._blocks_s = 0.0
        self._tries = 0

    @property
    def waited_s(self) -> float:
        """How long the answer that is due has not come."""
        asked_at_s = self._asked_at_s
        return 0.0 if asked_at_s is None else self._clock() - asked_at_s - self._blocks_s

    def left_s(self, blocks_s: float) -> float | None:
        """Return how long the next try may take; as `Patience` says."""
        if self._asked_at_s is None:
            self._asked_at_s, self._blocks_s, self._tries = self._clock(), blocks_s, 0
        self._tries += 1
        return max(self._left_s(), 0.0) + blocks_s

    def pause(self, error: StoreUnreachable) -> None:
        """Return when to try again.

        Raises:
            StoreUnreachable: the error, when the time is over.
        """
        if self._left_s() <= 0 or self._tries >= _MOST_TRIES:
            self._end(is_answered=False)
            raise error
        time.sleep(min(_PROMPT_S, self._left_s()))

    def record_answer(self) -> None:
        """Count how long it took."""
        self._end(is_answered=True)

    def _left_s(self) -> float:
        return self._limit_s - self._spent_s - max(self.waited_s, 0.0)

    def _end(self, *, is_answered: bool) -> None:
        waited_s, self._asked_at_s = self.waited_s, None
        if self._is_following:
            self._spent_s = 0.0
        elif not is_answered or waited_s > _PROMPT_S:
            self._spent_s += waited_s


@contextmanager
def waiting_for_valkey(
    *, is_following: bool = False, hint: str = "", limit_s: float | None = None
) -> Iterator[None]:
    """Give Valkey the time of this command; a person is told of a wait, with what helps."""
    ctx = click.get_current_context(silent=True)
    if limit_s is None:
        limit_s = answer_limit_s()
    # A program reads the standard error of --json: it has the error alone.
    is_silent = bool(ctx and ctx.meta.get(AS_JSON))
    deadline, is_over = AnswerDeadline(limit_s, is_following=is_following), threading.Event()

    def say() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            if deadline.waited_s >= _SAY_AFTER_S and not is_silent:
                notify(f"waiting for Valkey{hint and f'; {hint}'}")
                return

    # The thread of the command is in the call that does not return.
    threading.Thread(target=say, daemon=True, name="wait").start()
    try:
        with waiting_with(deadline):
            yield
    finally:
        is_over.set()


@contextmanager
def waiting_for_api(url: str) -> Iterator[None]:
    """Tell a person who waits for one answer of the API; a thread beside a screen tells nobody."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or ctx.meta.get(AS_JSON):
        yield
        return
    teller = threading.Timer(_SAY_AFTER_S, notify, [f"waiting for the API at {url}"])
    teller.daemon = True
    teller.start()
    try:
        yield
    finally:
        teller.cancel()


def answer_limit_s() -> float:
    """Return how long this command waits for Valkey."""
    return given_limit_s() or LIMIT_S


def given_limit_s() -> float | None:
    """Return what `--timeout` says of this command's wait for answers."""
    ctx = click.get_current_context(silent=True)
    return ctx.meta.get(TIMEOUT) if ctx else None


def limiting_each_answer(limit_s: float) -> AbstractContextManager[None]:
    """Limit the wait for each answer, for calls in a thread beside that of the command."""
    return waiting_with(AnswerDeadline(limit_s, is_following=True))
