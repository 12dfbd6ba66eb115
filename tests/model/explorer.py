"""Breadth-first search of every state a model can reach, with the shortest way to a violation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)


class Violated(AssertionError):
    """Promises are broken; `trace` are the actions that lead there, the fewest that do."""

    def __init__(self, names: tuple[str, ...], trace: tuple[str, ...], state: object) -> None:
        reported = f"{', '.join(names)}: {' → '.join(trace) or 'at the start'}"
        super().__init__(f"{reported}\n  {state}")
        self.names = names
        self.trace = trace


@dataclass(frozen=True)
class Explored(Generic[State]):
    """All that can be reached: what follows each state, and the way it was first reached."""

    following: Mapping[State, tuple[tuple[str, State], ...]]
    came_from: Mapping[State, tuple[str, State] | None]
    depth: int

    def trace(self, state: State) -> tuple[str, ...]:
        """Return the actions that lead from the start to a state, as few as there are."""
        actions: list[str] = []
        while step := self.came_from[state]:
            action, state = step
            actions.append(action)
        return tuple(reversed(actions))

    def without(self, is_left_out: Callable[[str], bool]) -> Explored[State]:
        """Return the same states, and what follows them but for some actions."""
        kept = {
            state: tuple(step for step in steps if not is_left_out(step[0]))
            for state, steps in self.following.items()
        }
        return Explored(kept, self.came_from, self.depth)

    def hold_reachable(self, name: str, is_goal: Callable[[State], bool]) -> None:
        """Hold that from every state one can go on to a goal.

        Raises:
            Violated: there is a state from which no way leads to one.
        """
        before: dict[State, list[State]] = {state: [] for state in self.following}
        for state, steps in self.following.items():
            for _, after in steps:
                before[after].append(state)
        reaching = {state for state in self.following if is_goal(state)}
        todo = deque(reaching)
        while todo:
            for state in before[todo.popleft()]:
                if state not in reaching:
                    reaching.add(state)
                    todo.append(state)
        for state in self.following:  # in the order they were reached: the nearest first
            if state not in reaching:
                raise Violated((name,), self.trace(state), state)

    def hold_every_run_ends(self, name: str, is_goal: Callable[[State], bool]) -> None:
        """Hold that no run goes on for ever, and that each that cannot go on has its goal.

        Raises:
            Violated: there is a circle, or an end that is no goal.
        """
        waits_for = dict.fromkeys(self.following, 0)
        for steps in self.following.values():
            for _, after in steps:
                waits_for[after] += 1
        todo = deque(state for state, count in waits_for.items() if count == 0)
        while todo:
            for _, after in self.following[todo.popleft()]:
                waits_for[after] -= 1
                if waits_for[after] == 0:
                    todo.append(after)
        for state, steps in self.following.items():
            if waits_for[state] or (not steps and not is_goal(state)):
                raise Violated((name,), self.trace(state), state)


def explore(
    start: State,
    actions: Callable[[State], Iterable[tuple[str, State]]],
    always: Mapping[str, Callable[[State], bool]],
    *,
    most_states: int,
) -> Explored[State]:
    """Visit every reachable state once and hold each against what is always true.

    Raises:
        Violated: with the fewest actions that lead to it.
        RuntimeError: there are more states than that: nothing is proved.
    """
    came_from: dict[State, tuple[str, State] | None] = {start: None}
    following: dict[State, tuple[tuple[str, State], ...]] = {}
    explored = Explored(following, came_from, 0)
    layer, depth = [start], 0
    while layer:
        reached: list[State] = []
        for state in layer:
            if broken := tuple(name for name, holds in always.items() if not holds(state)):
                raise Violated(broken, explored.trace(state), state)
            following[state] = steps = tuple(actions(state))
            for action, after in steps:
                if after not in came_from:
                    came_from[after] = (action, state)
                    reached.append(after)
            if len(came_from) > most_states:
                msg = f"more than {most_states} states"
                raise RuntimeError(msg)
        layer = reached
        depth += bool(reached)
    return Explored(following, came_from, depth)
