"""The delays before retries: exponential, capped, with full jitter."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_S = 1.0
CAP_S = 300.0
#: The limit of a delay that a server requests by `Retry-After`.
MOST_RETRY_AFTER_S = 60.0


def calculate_backoff_delay(
    attempt: int,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
    *,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Return the seconds to wait before retry `attempt` (from 1).

    The delay is `jitter() * min(cap, base * 2^(attempt-1))`; `jitter` returns a number in [0, 1).
    Source of the constants: CONTRACT.md, "Retry".

    Raises:
        ValueError: `attempt` is less than 1.
    """
    if attempt < 1:
        msg = f"attempt counts from 1, not {attempt}"
        raise ValueError(msg)
    # A large power of 2 overflows a float; after 64 doublings the cap is reached.
    return jitter() * min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))


def delay_before(attempt: int, error: BaseException | None) -> float:
    """Return the seconds before retry `attempt`, at least the error's `retry_after_s`, if any."""
    return max(getattr(error, "retry_after_s", 0.0), calculate_backoff_delay(attempt))


def parse_retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After` header, capped; 0 if its value is not a number."""
    if value is None or not value.isascii() or not value.isdigit():
        return 0.0
    return min(float(value), MOST_RETRY_AFTER_S)
