"""Lets Python sleep under libfaketime, whose `clock_nanosleep` refuses an instant as its end.

Only with FAKETIME_DONT_FAKE_MONOTONIC, in version 0.9.10. `select` has no instant.
"""

import select
import time


def sleep(seconds: float) -> None:
    """Sleep as `time.sleep` does."""
    select.select([], [], [], seconds)


time.sleep = sleep
