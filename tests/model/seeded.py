"""How the state machines are run: each time over the same programs, however long one takes."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def seeded(*, programs: int, steps: int) -> settings:
    """Return the settings of a run of so many programs of so many steps."""
    return settings(
        max_examples=programs,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
