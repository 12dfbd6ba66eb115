"""How long to wait before a retry: exponential, capped, with full jitter."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_S = 1.0
CAP_S = 300.0
#: The longest a server may make us wait by its own word.
MOST_RETRY_AFTER_S = 60.0


def calculate_backoff_delay(
    attempt: int,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
    *,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Return the seconds to wait before retry `attempt` (from 1).

    That is `jitter() * min(cap, base * 2^(attempt-1))`, where `jitter` gives a number in [0, 1).
    """
    if attempt < 1:
        msg = f"attempt counts from 1, not {attempt}"
        raise ValueError(msg)
    # 2**n of a large attempt overflows a float; past 64 doublings the cap has long been reached.
    return jitter() * min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))


def delay_before(attempt: int, error: BaseException | None) -> float:
    """Return the seconds before retry `attempt`: longer if the error says so (`retry_after_s`)."""
    return max(getattr(error, "retry_after_s", 0.0), calculate_backoff_delay(attempt))


def parse_retry_after(value: str | None) -> float:
    """Return the seconds a `Retry-After` header asks for, capped; 0 where it gives no number."""
    if value is None or not value.isascii() or not value.isdigit():
        return 0.0
    return min(float(value), MOST_RETRY_AFTER_S)
